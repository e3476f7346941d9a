//! Guard around decoders of other crates: a panic on a damaged file becomes an error.

use super::ReadError;
use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

thread_local! {
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Runs a decoder, which is not to be used again if this fails. Nothing is printed if it panics.
pub(super) fn guarded<T>(decode: impl FnOnce() -> T) -> Result<T, ReadError> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let hook = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !GUARDED.get() {
                hook(info);
            }
        }));
    });
    GUARDED.set(true);
    let done = panic::catch_unwind(AssertUnwindSafe(decode));
    GUARDED.set(false);
    done.map_err(|reason| {
        let text = reason.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| reason.downcast_ref::<&str>().copied()).unwrap_or("no reason");
        ReadError::Content(format!("it is damaged ({text})"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panics_are_errors_and_later_ones_are_not_hidden() {
        assert_eq!(guarded(|| 7).unwrap(), 7);
        let Err(ReadError::Content(reason)) = guarded(|| panic!("page {}", 3)) else { panic!() };
        assert_eq!(reason, "it is damaged (page 3)");
        assert!(!GUARDED.get());
    }
}
