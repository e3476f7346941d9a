//! The simulator as a command. (What it simulates is tested in `feed`.)

use crate::support::{betacrew, run};

#[test]
fn runs_are_simulated_and_narrated() {
    let (code, stdout, _) = run(&mut betacrew(&["sim", "--from", "100", "--seeds", "200"]));
    assert_eq!(code, 0, "{stdout}");
    assert!(stdout.starts_with("200 runs, 0 broken"), "{stdout}");
    let (code, story, _) = run(&mut betacrew(&["sim", "--narrate", "5"]));
    assert_eq!(code, 0, "{story}");
    for part in ["as a scenario ---", "client: connects 0 to line 0", "every promise held"] {
        assert!(story.contains(part), "{story}");
    }
    assert_eq!(
        run(&mut betacrew(&["sim", "--narrate", "5"])).1,
        story,
        "a seed gives the same run each time"
    );
}

/// `BETACREW_BLESS=1` writes the tables anew.
#[test]
fn the_cost_of_recovery_is_as_documented() {
    let place = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/recovery.md");
    let text = std::fs::read_to_string(place).unwrap();
    let (before, rest) = text.split_once("<!-- made by `betacrew sim --cost` -->\n").unwrap();
    let (_, after) = rest.split_once("<!-- end -->\n").unwrap();
    let (code, cost, _) = run(&mut betacrew(&["sim", "--cost"]));
    assert_eq!(code, 0);
    let now =
        format!("{before}<!-- made by `betacrew sim --cost` -->\n{cost}<!-- end -->\n{after}");
    if std::env::var_os("BETACREW_BLESS").is_some() {
        std::fs::write(place, &now).unwrap();
    }
    assert_eq!(std::fs::read_to_string(place).unwrap(), now);
}
