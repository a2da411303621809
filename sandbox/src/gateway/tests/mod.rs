pub(super) mod provider;
mod random;
mod stories;
pub(super) mod world;
