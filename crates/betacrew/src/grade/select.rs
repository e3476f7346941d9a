//! Selection of cases by the patterns on the command line.

use super::cases::Case;

/// Returns those of `cases` that match any of the patterns: an id, a group, or either with `*` and
/// `?`.
/// Without patterns, returns all cases.
///
/// # Errors
/// Returns a message if a pattern matches no case.
pub(crate) fn select(
    cases: &'static [Case],
    patterns: &[String],
) -> Result<Vec<&'static Case>, String> {
    let means = |pattern: &str, case: &Case| {
        matches(pattern.as_bytes(), case.id.as_bytes())
            || matches(pattern.trim_end_matches('/').as_bytes(), case.group().as_bytes())
    };
    if let Some(wrong) =
        patterns.iter().find(|pattern| !cases.iter().any(|case| means(pattern, case)))
    {
        return Err(format!(
            "no case matches `{wrong}`. Give an id, a group or a pattern such as 'gaps/*' (--list \
             lists them); the client's command goes after --"
        ));
    }
    let chosen =
        |case: &&Case| patterns.is_empty() || patterns.iter().any(|pattern| means(pattern, case));
    Ok(cases.iter().filter(chosen).collect())
}

/// Returns whether `pattern` matches all of `text`; `*` matches anything and `?` any one character.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut place) = (0, 0);
    // Position of the last star in the pattern, and the end of the text that it matches so far.
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
    use crate::grade::cases::CASES;

    #[test]
    fn stars_match_anything_and_question_marks_one_character() {
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
            select(CASES, &patterns).unwrap().iter().map(|case| case.id).collect()
        };
        assert_eq!(ids(&[]).len(), CASES.len());
        assert_eq!(ids(&["gaps/first-packet"]), ["gaps/first-packet"]);
        assert_eq!(ids(&["gaps/"]), ids(&["gaps/*"]));
        assert_eq!(ids(&["gaps", "gaps/first-packet"]), ids(&["gaps"]), "each once");
        let wrong = select(CASES, &["gap".to_owned()]).unwrap_err();
        assert!(wrong.contains("`gap`") && wrong.contains("--list"), "{wrong}");
    }
}
