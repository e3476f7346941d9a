//! Prose rules that a test can check: how doc comments begin, and that they name what they mean.
//!
//! A doc comment stands alone in a hover box. Its first sentence therefore names its subject; the
//! words of [`OPENERS`] refer to something else, or put off saying what the thing is.

use crate::tidy::rust_sources;
use std::fs;

/// First words that no doc comment may have. Where several words are listed, all of them in a row.
const OPENERS: [&str; 44] = [
    "Also",
    "And",
    "Anybody",
    "Anything",
    "But",
    "Everybody",
    "Everything",
    "Here",
    "How",
    "It",
    "Its",
    "Nobody",
    "Nor",
    "Nothing",
    "Or",
    "So far",
    "So long",
    "So many",
    "So much",
    "So often",
    "Somebody",
    "Something",
    "That",
    "The last of those",
    "The one",
    "The ones",
    "The same",
    "Their",
    "Them",
    "Then",
    "There",
    "These",
    "They",
    "This many",
    "Those",
    "What",
    "Whatever",
    "Where",
    "Whether",
    "Who",
    "Whoever",
    "Whom",
    "Whose",
    "Why",
];

/// Pronouns that stand for nothing in a doc comment that is read alone.
const PRONOUNS: [&str; 5] = ["it", "its", "them", "their", "they"];

/// Prepositions that lead to a pronoun: "Number of its bytes."
const PREPOSITIONS: [&str; 7] = ["of", "at", "in", "from", "by", "for", "to"];

/// Returns the pronoun without a noun before it with which a doc comment's first line begins:
/// "Starts it.", "Number of their bytes."
fn pronoun(text: &str) -> Option<&'static str> {
    let is_pronoun = |word: &str| {
        let word = word.trim_end_matches(['.', ',', ';', ':']);
        PRONOUNS.into_iter().find(|pronoun| *pronoun == word)
    };
    let mut words = text.split_whitespace();
    let (first, second) = (words.next()?, words.next()?);
    match PREPOSITIONS.contains(&second) {
        true => words.next().and_then(is_pronoun),
        // "Session: its name and extent." has its noun.
        false => is_pronoun(second).filter(|_| !first.ends_with([':', ','])),
    }
}

/// Returns the forbidden words with which a doc comment's first line begins.
fn opener(text: &str) -> Option<&'static str> {
    OPENERS.into_iter().find(|words| {
        let rest = text.strip_prefix(words);
        rest.is_some_and(|rest| rest.starts_with([' ', ',', ':']))
    })
}

/// Returns the complaints about the doc comments of one source file.
fn complaints(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut before = "";
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim_start();
        for mark in ["/// ", "//! "] {
            let Some(doc) = line.strip_prefix(mark) else { continue };
            // Only the first line of a comment begins it.
            let continues = before.starts_with(mark.trim_end());
            if let Some(words) = opener(doc).filter(|_| !continues) {
                found.push(format!(
                    "line {number}: the doc comment begins with \"{words}\": name the thing that \
                     it describes, or begin with a verb (\"Returns\", \"Opens\")"
                ));
            } else if let Some(word) = pronoun(doc).filter(|_| !continues) {
                found.push(format!(
                    "line {number}: \"{word}\" stands for nothing in the doc comment: name it"
                ));
            }
        }
        before = line;
    }
    found
}

#[test]
fn doc_comments_begin_with_their_subject() {
    let mut wrong = Vec::new();
    for path in rust_sources() {
        let text = fs::read_to_string(&path).unwrap();
        let all = complaints(&text).into_iter();
        wrong.extend(all.map(|complaint| format!("{}: {complaint}", path.display())));
    }
    assert!(wrong.is_empty(), "{} docs\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn a_doc_comment_without_a_subject_is_noticed() {
    let text = "    /// So many gaps are open.\n    gaps: u32,\n/// Number of gaps. And more.\n";
    assert_eq!(complaints(text).len(), 1);
    assert!(complaints(text)[0].starts_with("line 1: the doc comment begins with \"So many\""));
    assert!(complaints("//! Whether it rains.").len() == 1);
    assert!(complaints("/// Number of gaps\n/// that are open.\n/// And more.").is_empty());
    assert!(complaints("/// Android is no opener.").is_empty());
    for pronoun in ["/// Number of their bytes.", "/// Starts it.", "//! Name of its tape."] {
        assert_eq!(complaints(pronoun).len(), 1, "{pronoun}");
    }
    for named in ["/// Session: its name.", "/// Number of bytes in it.", "/// Time.\n/// Ends it."]
    {
        assert!(complaints(named).is_empty(), "{named}");
    }
}
