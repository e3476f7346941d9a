//! Lines in MoldUDP64 from one exchange: beside lines of other protocols, with faults of their own,
//! and to receivers and groups of IPv6.

use crate::mold_fetch::free_addresses;
use crate::support::{PATIENCE, ServeProcess, betacrew, run};
use serde_json::Value;
use std::net::{Ipv6Addr, SocketAddrV6, UdpSocket};
use std::path::Path;
use std::time::Duration;

/// Faults of both lines of a session: each protocol has some that the other one cannot have.
const ON_BOTH: &str = r#"
about = "Both lines fail, each in its own way"
tape = "random:4000"
pace = "8000/s"
keep-last = false

[[fault]]
what = "drop"
chance = "20%"

[[fault]]
what = "drop"
on = "resend"
chance = "40%"

[[fault]]
what = "reset"
every = 1700
times = 1

[[fault]]
what = "close"
every = 900
times = 1

[[fault]]
what = "reject"
reason = "session-not-available"
chance = "30%"

[[fault]]
what = "corrupt"
field = "sequence"
lines = "1"
chance = "10%"
"#;

/// Records `addresses` and returns the output's bytes and the report.
fn fetched(folder: &Path, name: &str, addresses: &[&str]) -> (Vec<u8>, Value) {
    let (output, report) = (folder.join(name), folder.join(format!("{name}.report")));
    let mut command = betacrew(&["fetch"]);
    command.args(addresses).arg("-o").arg(&output).arg("--report").arg(&report);
    let (code, _, text) = run(&mut command);
    assert_eq!(code, 0, "{addresses:?}: {text}");
    let report = serde_json::from_slice(&std::fs::read(report).unwrap()).unwrap();
    (std::fs::read(output).unwrap(), report)
}

/// Records a session of `tape` over a line of `other` and a line of MoldUDP64, in both orders.
/// Faults strike both, and the recordings are equal to the tape.
fn records_over_both(other: &str, tape: &str, extension: &str) {
    let folder = tempfile::tempdir().unwrap();
    let scenario = folder.path().join("both.toml");
    std::fs::write(&scenario, ON_BOTH).unwrap();
    let args = ["--scenario", scenario.to_str().unwrap(), "--tape", tape, "--seed", "5"];
    let plain = ServeProcess::listening(&["soup://127.0.0.1:0"], &["--tape", tape, "--seed", "5"]);
    let (want, _) = fetched(folder.path(), &format!("want.{extension}"), &[&plain.addresses[0]]);
    for is_mold_first in [false, true] {
        let group = &free_addresses(1)[0];
        let mold = format!("mold://{group}?request=127.0.0.1:0");
        let serve = ServeProcess::listening(&[other, &mold], &args);
        let mut lines: Vec<&str> = serve.addresses.iter().map(String::as_str).collect();
        if is_mold_first {
            lines.reverse();
        }
        let name = format!("got-{is_mold_first}.{extension}");
        let (got, report) = fetched(folder.path(), &name, &lines);
        assert!(got == want, "{other}, {lines:?}: another recording");
        let of_mold = &report["lines"][usize::from(!is_mold_first)];
        assert_eq!(of_mold["protocol"], "mold", "{report}");
        assert!(of_mold["packetsMissed"].as_u64().unwrap() > 100, "{report}");
        assert!(of_mold["mold"]["malformedDatagrams"].as_u64().unwrap() > 0, "{report}");
    }
}

#[test]
fn a_line_beside_one_of_the_exercise_records_the_same_session() {
    records_over_both("127.0.0.1:0", "random:4000", "json");
}

#[test]
fn a_line_beside_one_of_soup_records_the_same_session() {
    records_over_both("soup://127.0.0.1:0", "itch:4000", "itch");
}

#[test]
fn a_line_records_alone_what_a_line_that_refuses_every_login_leaves() {
    let folder = tempfile::tempdir().unwrap();
    let scenario = folder.path().join("refused.toml");
    let text = "about = \"No login is accepted, and datagrams and answers are dropped\"\n\
                pace = \"5000/s\"\n\
                [[fault]]\nwhat = \"reject\"\n\
                [[fault]]\nwhat = \"drop\"\nchance = \"30%\"\n\
                [[fault]]\nwhat = \"drop\"\non = \"resend\"\nchance = \"40%\"\n";
    std::fs::write(&scenario, text).unwrap();
    let group = &free_addresses(1)[0];
    let listen = ["soup://127.0.0.1:0", &format!("mold://{group}?request=127.0.0.1:0")];
    let args = ["--scenario", scenario.to_str().unwrap(), "--tape", "itch:5000", "--seed", "5"];
    let serve = ServeProcess::listening(&listen, &args);
    let lines: Vec<&str> = serve.addresses.iter().map(String::as_str).collect();
    let (_, report) = fetched(folder.path(), "day.itch", &lines);
    assert_eq!((&report["packets"], &report["lines"][0]["givenUp"]), (&5000.into(), &true.into()));
    // Many requests and answers are lost, and no message is left out for it.
    assert!(report["requests"]["timedOut"].as_u64().unwrap() > 50, "{report}");
}

#[test]
fn a_fault_on_a_line_that_does_not_exist_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let scenario = folder.path().join("third.toml");
    let fault = |lines: &str| {
        format!("about = \"x\"\n[[fault]]\nwhat = \"drop\"\nevery = 2\nlines = \"{lines}\"\n")
    };
    let [a, b] = [1, 2].map(|port| format!("mold://127.0.0.1:{port}"));
    let serve = |listen: &[&str]| {
        let mut command = betacrew(&["serve", "--tape", "random:10"]);
        for address in listen {
            command.args(["--listen", address]);
        }
        command.arg("--scenario").arg(&scenario);
        let (code, _, text) = run(&mut command);
        assert_eq!(code, 2, "{text}");
        text
    };
    std::fs::write(&scenario, fault("3")).unwrap();
    let text = serve(&[&a, &b]);
    assert!(text.contains("names line 3, but there are 2 lines in MoldUDP64"), "{text}");
    std::fs::write(&scenario, fault("1") + &fault("2-4").replace("about = \"x\"", "")).unwrap();
    let text = serve(&[&a]);
    assert!(text.contains("names line 4, but there is 1 line in MoldUDP64"), "{text}");
    let text = serve(&["127.0.0.1:0"]);
    assert!(text.contains("needs a mold:// listener"), "{text}");
    std::fs::write(&scenario, fault("0")).unwrap();
    let text = serve(&[&a, &b]);
    assert!(text.contains("lines"), "{text}");
}

#[test]
fn receivers_and_request_servers_of_ipv6_are_served_and_recorded() {
    let Ok(free) = UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)) else {
        println!("skipped: this machine has no IPv6");
        return;
    };
    let port = free.local_addr().unwrap().port();
    drop(free);
    let folder = tempfile::tempdir().unwrap();
    let line = format!("mold://[::1]:{port}?request=[::1]:0");
    let args = ["--tape", "itch:20000", "--drop", "5%", "--seed", "7", "--pace", "50000/s"];
    let serve = ServeProcess::listening(&[&line], &args);
    assert!(serve.addresses[0].starts_with(&format!("mold://[::1]:{port}?request=[::1]:")));
    let (_, report) = fetched(folder.path(), "day.itch", &[&serve.addresses[0]]);
    assert_eq!(report["packets"], 20_000);
    assert!(report["requests"]["answered"].as_u64().unwrap() > 10, "{report}");
}

/// Returns the name and the number of an interface on which groups of IPv6 reach this machine.
#[cfg(target_os = "linux")]
fn interface_with_groups(group: Ipv6Addr) -> Option<(String, u32)> {
    let text = std::fs::read_to_string("/proc/net/if_inet6").ok()?;
    text.lines().find_map(|line| {
        let mut fields = line.split_whitespace().skip(1);
        let number = u32::from_str_radix(fields.next()?, 16).ok()?;
        let name = fields.nth(3)?.to_owned();
        let member = UdpSocket::bind(SocketAddrV6::new(group, 0, 0, number)).ok()?;
        member.join_multicast_v6(&group, number).ok()?;
        member.set_read_timeout(Some(PATIENCE)).unwrap();
        let sender = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).ok()?;
        let options = socket2::SockRef::from(&sender);
        options.set_multicast_if_v6(number).ok()?;
        options.set_multicast_hops_v6(0).ok()?;
        sender.send_to(b"x", (group, member.local_addr().ok()?.port())).ok()?;
        member.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
        member.recv(&mut [0; 4]).ok().map(|_| (name, number))
    })
}

#[test]
#[cfg(target_os = "linux")]
fn a_group_of_ipv6_is_served_and_recorded_by_its_interface() {
    let group: Ipv6Addr = "ff15::be7a:17".parse().unwrap();
    let Some((name, number)) = interface_with_groups(group) else {
        println!("skipped: this machine has no interface for groups of IPv6");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    for (place, typed) in [
        format!("[{group}%{name}]:PORT?ttl=0"),
        format!("[{group}]:PORT?ttl=0&interface={name}"),
        format!("[{group}]:PORT?ttl=0&interface={number}"),
    ]
    .iter()
    .enumerate()
    {
        let free = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).unwrap();
        let port = free.local_addr().unwrap().port().to_string();
        drop(free);
        let line = format!("mold://{}&request=127.0.0.1:0", typed.replace("PORT", &port));
        let args = ["--tape", "random:2000", "--drop", "10%", "--seed", "7", "--pace", "20000/s"];
        let serve = ServeProcess::listening(&[&line], &args);
        let shown = &serve.addresses[0];
        assert!(
            shown.starts_with(&format!("mold://[{group}%{number}]:{port}?request=")),
            "{shown}"
        );
        let (_, report) = fetched(folder.path(), &format!("{place}.json"), &[shown]);
        assert_eq!(report["packets"], 2000, "{report}");
        assert!(report["lines"][0]["mold"]["datagrams"].as_u64().unwrap() > 10, "{report}");
    }
}
