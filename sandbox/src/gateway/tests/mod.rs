mod provider;
mod random;
mod stories;
mod world;
