//! Built-in scenarios, in groups.

/// Built-in scenario.
#[derive(Clone, Copy, Debug)]
pub struct CatalogueEntry {
    /// Name of the scenario.
    pub name: &'static str,
    /// Text of the scenario's TOML file.
    pub text: &'static str,
}

/// Group of similar scenarios.
#[derive(Clone, Copy, Debug)]
pub struct Group {
    /// Heading of the group.
    pub title: &'static str,
    /// Scenarios of the group, simple ones first.
    pub entries: &'static [CatalogueEntry],
}

macro_rules! groups {
    ($($title:literal: $($name:literal)*;)*) => {
        &[$(Group {
            title: $title,
            entries: &[$(CatalogueEntry {
                name: $name,
                text: include_str!(concat!("../../scenarios/", $name, ".toml")),
            }),*],
        }),*]
    };
}

/// Groups of built-in scenarios, in the order in which they are listed.
pub const GROUPS: &[Group] = groups! {
    "Dropped packets":
        "clean" "one-gap" "first-dropped" "first-three-dropped" "before-last-dropped" "last-dropped"
        "tail-dropped" "burst" "bursts" "every-second" "far-gap" "quarter" "quarter-and-last"
        "heavy" "only-last" "all-dropped" "never-resent" "first-pass" "beyond-255";
    "Order and content":
        "duplicates" "late-duplicates" "reorder" "contradiction" "broken-frame" "odd-sequence"
        "garbage";
    "Pieces":
        "half-packet" "byte-by-byte" "odd-pieces" "pairs" "coalesced";
    "Time":
        "slow" "slow-start" "jitter" "stall" "silent" "late-end" "never-ends";
    "Connections":
        "refused-at-first" "deaf" "closed-early" "closed-inside" "reset-in-stream" "reset-at-end"
        "reset-each-end";
    "Resends":
        "resend-late" "resend-jitter" "resend-coalesced" "resend-pieces" "resend-once-unanswered"
        "resend-unanswered" "resend-twice" "resend-other" "resend-one-each"
        "resend-closed-inside" "resend-reset" "resend-broken" "quota" "aged-out";
    "The exchange":
        "no-extension" "unknown-silent" "restart" "crash-loop" "session-changes" "dies" "original";
    "SoupBinTCP":
        "soup-refused-once" "soup-session-unavailable" "soup-not-authorized" "soup-login-late"
        "soup-login-unanswered" "soup-login-cut" "soup-login-twice" "soup-accepted-later"
        "soup-accepted-earlier" "soup-heartbeats-only" "soup-no-heartbeats" "soup-end-missing"
        "soup-end-early" "soup-debug" "soup-unsequenced" "soup-empty" "soup-largest"
        "soup-lengths" "soup-unknown-types" "soup-no-length" "soup-cut-in-length" "soup-flaky";
    "MoldUDP64":
        "mold-one-line" "mold-both-lines" "mold-singles" "mold-sizes" "mold-largest"
        "mold-cut-short" "mold-count-too-high" "mold-length-too-high" "mold-other-session"
        "mold-odd-sequence" "mold-garbage" "mold-sequence-back" "mold-messages-left-out"
        "mold-end-inside" "mold-session-changes"
        "mold-tail-and-end" "mold-requests-partial" "mold-requests-silent"
        "mold-requests-wrong" "mold-weather";
    "Everything at once":
        "bad-day" "storm" "firehose";
};

/// Scenarios in which no client can record every packet: the exchange ends, changes its session, or
/// never sends one of them.
const UNRECOVERABLE: [&str; 3] = ["never-resent", "session-changes", "dies"];

impl CatalogueEntry {
    /// Returns whether a client of the exercise's protocol can record every packet.
    #[must_use]
    pub fn is_recoverable(&self) -> bool {
        !UNRECOVERABLE.contains(&self.name)
    }
}

/// Returns all built-in scenarios.
pub fn entries() -> impl Iterator<Item = &'static CatalogueEntry> {
    GROUPS.iter().flat_map(|group| group.entries)
}

/// Returns the built-in scenario with this name.
#[must_use]
pub fn entry(name: &str) -> Option<&'static CatalogueEntry> {
    entries().find(|entry| entry.name == name)
}

/// Returns ` (did you mean X?)` if a name is similar to that of a built-in scenario.
pub(super) fn suggestion(name: &str) -> String {
    let near = entries().map(|entry| (distance(name, entry.name), entry.name)).min();
    match near {
        // A name with more than about one wrong letter in four is another word.
        Some((distance, near)) if distance <= 1 + name.len() / 4 => {
            format!(" (did you mean `{near}`?)")
        }
        _ => String::new(),
    }
}

/// Returns the Levenshtein distance of two texts.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    // Only 64 characters count, because no name is longer and a path may be very long.
    for (i, a) in one.chars().take(64).enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in other.iter().enumerate() {
            let changed = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[other.len()]
}
