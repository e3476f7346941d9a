//! Benchmarks of betacrew. The program `bench` compares it with alternatives; this library has the
//! parts that micro-benchmarks and instruction counts share.

pub mod hot;
