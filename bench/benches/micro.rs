//! Micro-benchmarks of the hot paths: `cargo bench --manifest-path bench/Cargo.toml`.

use bench::hot::{CASES, PACKETS};
use criterion::{Criterion, Throughput};

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("hot");
    group.throughput(Throughput::Elements(PACKETS));
    for case in &CASES {
        let mut run = (case.make)();
        group.bench_function(case.name, |bencher| bencher.iter(&mut run));
    }
    group.finish();
    criterion.final_summary();
}
