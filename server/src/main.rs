mod access;
mod crypto;
mod desk;
mod faces;
mod time;

fn main() {}
