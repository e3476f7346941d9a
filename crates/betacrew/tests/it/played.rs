//! Which part of a recording is played, and as which session.

use crate::complete::{here, json, packet, played};
use crate::support::{ServeProcess, betacrew, run};
use betacrew::storage::FileStorage;
use feed::tape::file::{FileHead, SessionEnd, TapeFile};
use feed::tape::in_memory::Tape;
use feed::wire::SessionId;
use std::fs;

#[test]
fn a_text_that_lacks_packets_is_played_only_up_to_the_first_of_them() {
    let folder = tempfile::tempdir().unwrap();
    let tape = Tape::random(50, 1);
    let with_gap = [&tape.frames()[..20], &tape.frames()[25..]];
    let mut text = Vec::new();
    betacrew::format::json::write(with_gap, &mut text).unwrap();
    let path = folder.path().join("x.json");
    fs::write(&path, text).unwrap();
    for name in ["x.ndjson", "x.csv"] {
        assert_eq!(here(folder.path(), &["convert", "x.json", name, "--allow-gaps"]).0, 0);
    }
    let begun = Tape::new((1..=20).map(|seq| packet(&tape, seq))).unwrap();
    for name in ["x.json", "x.ndjson", "x.csv"] {
        let path = folder.path().join(name).to_str().unwrap().to_owned();
        let listen = ["serve", "--listen", "127.0.0.1:0", "--tape", &path];
        let (code, stdout, said) = run(&mut betacrew(&listen));
        assert!(code == 3 && said.contains("it lacks 5 packets in 1 gap: 21-25"), "{said}");
        assert!(said.contains("--allow-gaps") && stdout.is_empty(), "{said}");
        let (session, got, log) = played(folder.path(), &["--tape", &path, "--allow-gaps"]);
        assert!(session != tape.session().to_string() && got == json(&begun), "{log}");
        assert!(log.contains("playing 20 of 45 packets as a session of its own"), "{log}");
    }
}

#[test]
fn a_tape_without_packets_is_whole_only_if_its_session_is_known_to_have_none() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.tape");
    let begin = || {
        let _ = fs::remove_file(&path);
        let head = FileHead { session: Some(SessionId::of(*b"LIVE")), created: 1, salt: 2 };
        TapeFile::create(FileStorage::write(&path).unwrap(), head).unwrap()
    };
    let listen = ["serve", "--listen", "127.0.0.1:0", "--tape", "x.tape"];
    let convert = ["convert", "x.tape", "x.json"];
    for finished in [false, true] {
        let mut file = begin();
        if finished {
            file.finish(2).unwrap();
        }
        drop(file);
        let (code, text, _) = here(folder.path(), &["inspect", "--verify", "x.tape"]);
        assert!(code == 3 && text.contains("x.tape: INCOMPLETE"), "{code}: {text}");
        assert!(text.contains("missing  every packet: it has none"), "{text}");
        let (code, _, said) = here(folder.path(), &convert);
        assert!(code == 3 && said.contains("every packet: it has none"), "{code}: {said}");
        assert!(!folder.path().join("x.json").exists());
        for more in [&[][..], &["--allow-gaps"]] {
            let mut serve = betacrew(&[&listen[..], more].concat());
            let (code, stdout, said) = run(serve.current_dir(folder.path()));
            assert!(code == 3 && said.contains("every packet: it has none"), "{code}: {said}");
            assert!(said.contains("nothing to play") && stdout.is_empty(), "{said}");
        }
    }
    let allowed = [&convert[..], &["--allow-gaps"]].concat();
    assert_eq!(here(folder.path(), &allowed).0, 0);

    let mut file = begin();
    file.note_end(0, SessionEnd::Confirmed, 2).unwrap();
    for finished in [false, true] {
        if finished {
            file.finish(3).unwrap();
        }
        let (code, text, _) = here(folder.path(), &["inspect", "--verify", "x.tape"]);
        assert!(code == 0 && text.contains("missing  nothing"), "{code}: {text}");
        let (code, _, said) = here(folder.path(), &[&convert[..], &["--force"]].concat());
        assert_eq!(code, 0, "{said}");
    }
    let exchange = ServeProcess::start(&["--tape", path.to_str().unwrap()]);
    let args = ["fetch", &exchange.addresses[0], "--tape", "y.tape", "-o", "y.json"];
    assert_eq!(here(folder.path(), &args).0, 0);
    // So it is with one that was recorded.
    assert_eq!(here(folder.path(), &["inspect", "--verify", "y.tape"]).0, 0);
    assert_eq!(here(folder.path(), &["inspect", "--verify", "y.json"]).0, 0);
}
