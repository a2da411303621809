//! Stories of users, payments and notices, each on every database.

mod adjusting;
mod auditing;
mod cancelling;
mod drawn;

mod history;
mod paying;
mod refunding;
mod reviewing;
mod telling;
mod topping_up;
mod torn;
mod world;
