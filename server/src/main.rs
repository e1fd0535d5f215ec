mod crypto;

fn main() {}
