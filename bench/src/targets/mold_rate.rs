//! MoldUDP64 at a million messages a second, for a minute: `serve` plays, `fetch` records.

use super::Plan;
use crate::Result;
use crate::process::{Served, betacrew, cpu_and_memory};
use crate::report::{Row, Want, count, time};
use serde_json::Value;
use std::fs;
use std::net::{Ipv4Addr, UdpSocket};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Messages a second.
const RATE: u64 = 1_000_000;

/// Interval between two looks at the memory of the client.
const LOOK: Duration = Duration::from_millis(100);

/// Inverse of the share of the run after which the memory should not grow any more.
const WARM: u32 = 4;

/// Maximum growth of the memory behind that, in MiB, besides what the tape file's index takes.
const GROWTH_MIB: f64 = 4.0;

/// Maximum share of a tape file that its index takes in memory. Copies of it are made when the file
/// is finished.
const INDEX_SHARE: f64 = 0.003;

const MIB: f64 = 1_048_576.0;

/// CPU time and memory of a run.
struct Needs {
    /// CPU times of the exchange and the client.
    cpu: (Duration, Duration),
    /// Resident memory after a part of the run, and the most after that.
    memory: (u64, u64),
}

/// Starts an exchange that plays messages of ITCH to a receiver.
fn serve(receiver: &str, messages: u64, start: Duration) -> Result<Served> {
    let mut command = betacrew()?;
    let line = format!("mold://{receiver}?request=127.0.0.1:0&start={}ms", start.as_millis());
    command.args(["serve", "--tape", &format!("itch:{messages}"), "--listen", &line]);
    Served::begin(command.args(["--pace", &format!("{RATE}/s")]))
}

/// Runs a client to its end.
fn record(exchange: &Served, client: &mut Command, lasts: Duration) -> Result<Needs> {
    client.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let (began, before) = (Instant::now(), exchange.cpu());
    let mut child = client.spawn()?;
    let (mut cpu, mut memory) = (Duration::ZERO, (0, 0));
    loop {
        if let Some((used, resident)) = cpu_and_memory(child.id()) {
            cpu = used;
            match began.elapsed() < lasts / WARM {
                true => memory.0 = memory.0.max(resident),
                false => memory.1 = memory.1.max(resident),
            }
        }
        if let Some(status) = child.try_wait()? {
            return match status.success() {
                true => Ok(Needs { cpu: (exchange.cpu() - before, cpu), memory }),
                false => Err(format!("{client:?}: {status}").into()),
            };
        }
        std::thread::sleep(LOOK);
    }
}

/// Returns a number of the report.
fn number(report: &Value, pointer: &str) -> Result<u64> {
    let value = report.pointer(pointer).and_then(Value::as_u64);
    value.ok_or_else(|| format!("the report has no {pointer}").into())
}

/// Target 25.
#[expect(clippy::cast_precision_loss, reason = "to be read")]
pub(super) fn sustained(plan: &Plan) -> Result<Vec<Row>> {
    let (folder, seconds) = (&plan.folder, plan.size(60, 5));
    let (tape, report) = (folder.join("rate.tape"), folder.join("rate.json"));
    let messages = RATE * seconds;
    // Free a moment ago, and with luck still free when the client takes it.
    let receiver = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.to_string();
    let exchange = serve(&receiver, messages, Duration::from_millis(500))?;
    let mut client = betacrew()?;
    client.args(["fetch", exchange.address(), "-o"]).arg(&tape).arg("--report").arg(&report);
    let needs = record(&exchange, &mut client, Duration::from_secs(seconds))?;
    let told: Value = serde_json::from_slice(&fs::read(&report)?)?;
    let bytes = fs::metadata(&tape)?.len() as f64;
    fs::remove_file(&tape)?;
    let recorded = number(&told, "/packets")?;
    let (drops, missed) =
        (number(&told, "/lines/0/mold/kernelDrops")?, number(&told, "/lines/0/packetsMissed")?);
    // The client waits for the session's beginning, and for the certainty that it has ended.
    let share = |cpu: Duration| 100.0 * cpu.as_secs_f64() / seconds as f64;
    let work = format!("MoldUDP64, {} messages a second for {seconds} s", count(RATE));
    let row = |work: String, against: String, by, ours: String, got, unit, want| Row {
        number: 25,
        work,
        against,
        by,
        ours,
        theirs: String::new(),
        got,
        unit,
        want,
    };
    let said = format!("kernel drops: {}; missed: {}", count(drops), count(missed));
    let missing = messages.saturating_sub(recorded) as f64;
    let growth = needs.memory.1.saturating_sub(needs.memory.0) as f64 / MIB;
    let memory = format!("{:.1} MiB", needs.memory.1 as f64 / MIB);
    Ok(vec![
        row(
            work.clone(),
            said,
            "not recorded",
            String::new(),
            missing,
            "messages",
            Want::AtMost(0.0),
        ),
        row(
            format!("{work}: growth of the client's memory"),
            "4 MiB and 3 bytes for each 1,000 of the file, after a quarter of the time".to_owned(),
            "resident",
            memory,
            growth,
            "MiB",
            Want::AtMost(GROWTH_MIB + INDEX_SHARE * bytes / MIB),
        ),
        row(
            format!("{work}: CPU of the client"),
            format!("exchange: {:.0} %", share(needs.cpu.0)),
            "CPU",
            time(needs.cpu.1),
            share(needs.cpu.1),
            "%",
            Want::Shown,
        ),
    ])
}
