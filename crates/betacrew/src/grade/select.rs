//! Cases chosen by what was typed.

use super::cases::{CASES, Case};

/// The cases that any of the patterns means: an id, a group, or either with `*` and `?`. All of
/// them where there are no patterns.
///
/// # Errors
/// A pattern that means none.
pub(crate) fn select(patterns: &[String]) -> Result<Vec<&'static Case>, String> {
    let means = |pattern: &str, case: &Case| {
        matches(pattern.as_bytes(), case.id.as_bytes())
            || matches(pattern.trim_end_matches('/').as_bytes(), case.group().as_bytes())
    };
    if let Some(wrong) =
        patterns.iter().find(|pattern| !CASES.iter().any(|case| means(pattern, case)))
    {
        return Err(format!(
            "no case is called `{wrong}`; a case is named by its id, its group or a pattern such \
             as 'gaps/*'. --list has them all, and the client's command comes after --"
        ));
    }
    let chosen =
        |case: &&Case| patterns.is_empty() || patterns.iter().any(|pattern| means(pattern, case));
    Ok(CASES.iter().filter(chosen).collect())
}

/// Whether a pattern with `*` (anything) and `?` (any one character) is the text.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut place) = (0, 0);
    // Where the last star stood, and what it has swallowed up to.
    let mut star: Option<(usize, usize)> = None;
    while place < text.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, place));
                at += 1;
            }
            Some(&c) if c == b'?' || c == text[place] => {
                at += 1;
                place += 1;
            }
            _ => match star {
                Some((from, swallowed)) => {
                    star = Some((from, swallowed + 1));
                    (at, place) = (from + 1, swallowed + 1);
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|&c| c == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_mean_what_they_say() {
        for (pattern, text, same) in [
            ("gaps/one", "gaps/one", true),
            ("gaps/*", "gaps/one", true),
            ("*first*", "gaps/first-packet", true),
            ("g?ps/*ck*t", "gaps/first-packet", true),
            ("gaps", "gaps/one", false),
            ("", "gaps/one", false),
            ("*", "", true),
            ("a*b*c", "abcbd", false),
            ("***************************x", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false),
        ] {
            assert_eq!(matches(pattern.as_bytes(), text.as_bytes()), same, "{pattern} {text}");
        }
    }

    #[test]
    fn cases_are_chosen_by_id_group_and_pattern() {
        let ids = |patterns: &[&str]| -> Vec<&str> {
            let patterns: Vec<String> = patterns.iter().map(ToString::to_string).collect();
            select(&patterns).unwrap().iter().map(|case| case.id).collect()
        };
        assert_eq!(ids(&[]).len(), CASES.len());
        assert_eq!(ids(&["gaps/first-packet"]), ["gaps/first-packet"]);
        assert_eq!(ids(&["gaps/"]), ids(&["gaps/*"]));
        assert_eq!(ids(&["gaps", "gaps/first-packet"]), ids(&["gaps"]), "each once");
        let wrong = select(&["gap".to_owned()]).unwrap_err();
        assert!(wrong.contains("`gap`") && wrong.contains("--list"), "{wrong}");
    }
}
