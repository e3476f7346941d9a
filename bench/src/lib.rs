//! How fast betacrew is. The program `bench` compares it with what people would use instead; here
//! is what the micro-benchmarks and the counts of instructions share.

pub mod hot;
