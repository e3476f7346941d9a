//! Builds only if nothing below `feed` uses the standard library.
//!
//! A program may have one panic handler. `std` brings one; this crate brings another. So if `feed`,
//! or anything it depends on, linked `std`, the compiler would refuse the second one. There is
//! then no I/O, no clock, no thread and no environment that the core could reach.

#![no_std]

extern crate feed;
#[cfg(feature = "impure")]
extern crate std;

use core::alloc::{GlobalAlloc, Layout};

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

struct Nothing;

#[global_allocator]
static NOTHING: Nothing = Nothing;

// SAFETY: it never gives memory out; nothing here is ever run.
unsafe impl GlobalAlloc for Nothing {
    unsafe fn alloc(&self, _: Layout) -> *mut u8 {
        core::ptr::null_mut()
    }

    unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}
}
