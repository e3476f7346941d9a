//! The desk of an exchange: tells its state, carries out orders.

use super::book::{Bookkeeper, Shelf};
use super::meeting::Meeting;
use super::metrics::{Histogram, Raw};
use super::order::{Answer, Faults, How, Order, absent, refused};
use super::state::{Connection, Counters, FaultsInForce, Refused, Rule, Session, State, Strip};
use super::{Past, Web, events};
use crate::format::Arrival;
use crate::net::{Desk, Place};
use crate::outlet::Outlet;
use crate::scenario::{Engine, Plot, ScenarioFile, catalogue, fault_text, impossible_faults};
use crate::words::{count, grouped, took};
use crate::written::Written;
use feed::chance::Chance;
use feed::faults::Cell;
use feed::play::Play;
use feed::player::{Cut, Player, Seat, SeatView};
use feed::scenario::{Action, Fault, Pick, Played, Scenario};
use feed::seq::{FIRST_SEQ, Seq, SeqRange};
use feed::wire::SessionId;
use std::time::Duration;

/// So many connections are shown.
const SHOWN: usize = 100;
/// So many packets go into the books at once, ten times a second at the most.
const BOOKED: u32 = 1 << 16;
/// So many are named in the log.
const NAMED: usize = 8;

/// What is on: names for what is played and what goes wrong.
#[derive(Clone, Default, Debug)]
pub(crate) struct Bill {
    tape: String,
    played: Played,
    scenario: String,
    about: String,
}

impl Bill {
    pub(crate) fn new(plot: &Plot, played: Played) -> Self {
        let (scenario, about) = (plot.name.clone(), plot.about.clone());
        Self { tape: plot.tape.to_string(), played, scenario, about }
    }
}

/// Who sits at the desk of an exchange that has an HTTP address.
#[derive(Debug)]
pub(crate) struct ExchangeDesk {
    meeting: Option<Meeting>,
    bill: Bill,
    /// What has been written to a record of a live session.
    written: Option<Written>,
    shelf: Shelf,
    books: Option<Books>,
    past: Past,
}

/// The order books of the tape so far, made from when somebody looks first.
#[derive(Debug)]
struct Books {
    session: SessionId,
    keeper: Bookkeeper,
    next: Seq,
}

impl Books {
    /// Goes on with what the tape has; whether it still is that tape.
    fn go_on(&mut self, tape: &mut impl Play) -> bool {
        if tape.session() != self.session {
            return false;
        }
        let most = self.next.saturating_add(BOOKED - 1).min(tape.last());
        while let Some(range) = SeqRange::new(self.next, most) {
            let taken = self.keeper.put(tape.frames(range), Arrival::UNKNOWN).unwrap_or(0);
            self.next += u32::try_from(taken).unwrap_or(0);
            if taken == 0 {
                break;
            }
        }
        true
    }
}

impl ExchangeDesk {
    pub(crate) fn new(web: Option<&Web>, bill: Bill, written: Option<Written>) -> Self {
        let meeting = web.map(|web| web.meeting.clone());
        let shelf = web.map(|web| web.shelf.clone()).unwrap_or_default();
        Self { meeting, bill, written, shelf, books: None, past: Past::default() }
    }

    /// The books go on with the tape, or begin with another one.
    fn keep_books(&mut self, tape: &mut impl Play) {
        if self.books.as_mut().is_some_and(|books| books.go_on(tape)) {
            return;
        }
        let keeper = Bookkeeper::new(self.shelf.clone()).ok();
        let session = tape.session();
        self.books = keeper.map(|keeper| Books { session, keeper, next: FIRST_SEQ });
    }
}

impl<P: Play> Desk<Player<P>> for ExchangeDesk {
    fn wants(&self) -> bool {
        self.meeting.as_ref().is_some_and(Meeting::wanted)
    }

    fn turn(
        &mut self,
        player: &mut Player<P>,
        floor: &mut [Place<'_, Seat>],
        now: Duration,
    ) -> bool {
        let Some(meeting) = self.meeting.clone() else { return false };
        let (mut changed, mut answers) = (false, Vec::new());
        for (order, sender) in meeting.take() {
            let answer = match order {
                Order::Strip { from, to, cells } => Answer::Strip(strip(player, from, to, cells)),
                order => match self.carry_out(order, player, floor, now) {
                    Ok(done) => {
                        changed = true;
                        tracing::info!("control: {done}{}", positions(player, floor));
                        Answer::Done(done)
                    }
                    Err(wrong) => Answer::Refused(wrong),
                },
            };
            answers.push((sender, answer));
        }
        self.keep_books(player.tape_mut());
        let (state, raw) = self.state(player, floor, now);
        meeting.tell(state, raw);
        // Whoever has an answer finds what it says in the state. They may have gone.
        for (sender, answer) in answers {
            let _ = sender.send(answer);
        }
        changed
    }
}

impl ExchangeDesk {
    fn carry_out<P: Play>(
        &mut self,
        order: Order,
        player: &mut Player<P>,
        floor: &mut [Place<'_, Seat>],
        now: Duration,
    ) -> Result<String, Refused> {
        match order {
            Order::Faults(faults) => self.change(faults, player),
            Order::Lose(next) => {
                player.lose(next);
                Ok(match next {
                    1 => "the next packet is lost".to_owned(),
                    next => format!("the next {} packets are lost", grouped(next.into())),
                })
            }
            Order::Pause(paused) => {
                player.pause(paused);
                Ok(if paused { "all sending stands still" } else { "all sending goes on" }
                    .to_owned())
            }
            Order::Cut(which, how) => {
                let (cut, word) = match how {
                    How::Close => (Cut::Close, "closed"),
                    How::Reset => (Cut::Reset, "reset"),
                };
                let found = each(player, floor, which, |player, seat| player.cut(seat, cut))?;
                Ok(format!("{found} {word}"))
            }
            Order::Stall(which, millis) => {
                let time = Duration::from_millis(millis);
                let found =
                    each(player, floor, which, |player, seat| player.stall(seat, time, now))?;
                Ok(format!("{found} sent nothing for {}", took(time)))
            }
            Order::Strip { .. } => Err(refused("that is no change", "GET /api/strip")),
        }
    }

    fn change<P: Play>(
        &mut self,
        faults: Faults,
        player: &mut Player<P>,
    ) -> Result<String, Refused> {
        let before = player.scenario().clone();
        let chosen = matches!(faults, Faults::Scenario(_) | Faults::Toml(_));
        let (name, about, scenario) = match faults {
            Faults::Clear(_) => {
                let scenario = Scenario { faults: Vec::new(), ..before };
                ("clean".to_owned(), String::new(), scenario)
            }
            Faults::Drop(chance) => {
                let chance: Chance = chance.to_string().parse().map_err(|_| {
                    refused(format!("{chance} is no probability"), "a number from 0 to 1")
                })?;
                let faults = vec![Fault::loss(chance)];
                (format!("drop {chance}"), String::new(), Scenario { faults, ..before })
            }
            Faults::Scenario(name) => {
                let entry = catalogue::entry(&name).ok_or_else(|| {
                    let names: Vec<&str> = catalogue::entries().map(|entry| entry.name).collect();
                    absent("there is no built-in scenario of that name", names.join(", "))
                })?;
                play(entry.text, &name, before.seed)?
            }
            Faults::Toml(text) => play(&text, "by order", before.seed)?,
        };
        let mut rest = String::new();
        let impossible = impossible_faults(&scenario, self.bill.played);
        if chosen && !impossible.is_empty() {
            let text = format!("what can never happen here: {}", impossible.join("; "));
            if impossible.len() == scenario.faults.len() {
                return Err(refused(text, "faults that can happen to what is played"));
            }
            rest = format!("; {text}");
        }
        player.change(scenario);
        (self.bill.scenario, self.bill.about) = (name, about);
        Ok(format!("scenario {} from here on{rest}", self.bill.scenario))
    }

    fn state<P: Play>(
        &mut self,
        player: &Player<P>,
        floor: &[Place<'_, Seat>],
        now: Duration,
    ) -> (State, Raw) {
        let (served, tape) = (player.served(), player.tape());
        let told = self.meeting.as_ref().map(|meeting| meeting.last().state.clone());
        let views = floor.iter().map(|place| player.view(place.conn));
        let tally = player.faults().tally();
        let cells = tally.cells().iter().fold(Cell::default(), |sum, cell| Cell {
            sent: sum.sent + cell.sent,
            resent: sum.resent + cell.resent,
            dropped: sum.dropped + cell.dropped,
        });
        let packets = served.packets;
        let (rates, _) = self.past.look(now, (packets, served.bytes), &Histogram::default());
        let connections = floor.iter().take(SHOWN).zip(views);
        let state = State {
            now: events::now(),
            session: Some(Session {
                id: tape.session().to_string(),
                first: FIRST_SEQ,
                last: tape.last(),
                over: tape.over(),
                live: self.bill.played.live,
            }),
            tape: Some(self.bill.tape.clone()),
            counters: Counters {
                packets,
                bytes: served.bytes,
                streamed: cells.sent,
                resent: served.resends,
                dropped: Some(served.lost),
                refused: Some(served.refused),
                connections: served.connections,
                reconnects: served.cut,
                ..Counters::default()
            },
            rates,
            connections: Some(
                connections.map(|(place, view)| shown(place, view, tape.last(), now)).collect(),
            ),
            connections_total: Some(floor.len() as u64),
            book: Some(self.shelf.look()),
            faults: Some(self.in_force(player)),
            events: events::newest(),
            ..told.unwrap_or_default()
        };
        let mut faults: Vec<(&str, u64)> = tally.kinds().collect();
        faults.push(("order", tally.by_order()));
        let tape = self.written.as_ref().map(Written::look);
        (state, Raw { faults, streams: served.streams, tape, ..Raw::default() })
    }

    fn in_force<P: Play>(&self, player: &Player<P>) -> FaultsInForce {
        let scenario = player.scenario();
        let drop = match scenario.faults.as_slice() {
            [] => Some(0.0),
            [fault] if fault.action() == Action::Drop && fault.sequences.is_none() => {
                match fault.pick {
                    Pick::Random { chance, .. } => Some(chance.as_f64()),
                    _ => None,
                }
            }
            _ => None,
        };
        let rules = scenario.faults.iter().enumerate();
        let rules = rules.take(SHOWN).map(|(index, fault)| Rule {
            text: fault_text(fault),
            struck: player.faults().struck(index),
        });
        FaultsInForce {
            scenario: self.bill.scenario.clone(),
            about: self.bill.about.clone(),
            seed: scenario.seed,
            drop,
            paused: player.is_paused(),
            losing: player.losing(),
            rules: rules.collect(),
        }
    }
}

/// The scenario of a text, with the run's own seed.
fn play(text: &str, name: &str, seed: u64) -> Result<(String, String, Scenario), Refused> {
    let wrong = |error: String| refused(error, "a scenario as docs/scenarios.md describes it");
    let parsed = text.parse::<ScenarioFile>().and_then(|file| file.plot(name, text));
    let plot = parsed.map_err(|refusal| wrong(refusal.to_string()))?;
    if plot.engine == Engine::Original {
        return Err(wrong("another exchange cannot take over: start it with serve".to_owned()));
    }
    Ok((plot.name, plot.about, Scenario { seed, ..plot.scenario }))
}

/// Does something to one connection, or to all.
fn each<P: Play>(
    player: &mut Player<P>,
    floor: &mut [Place<'_, Seat>],
    which: Option<u64>,
    mut what: impl FnMut(&mut Player<P>, &mut Seat),
) -> Result<String, Refused> {
    let mut found = 0;
    for place in floor {
        if which.is_none_or(|which| player.view(place.conn).connection == which) {
            what(player, place.conn);
            found += 1;
        }
    }
    match which {
        Some(which) if found == 0 => Err(absent(
            format!("there is no connection {which} (any more)"),
            "one of /api/state's connections",
        )),
        Some(which) => Ok(format!("connection {which}")),
        None => Ok(count(found, "connection")),
    }
}

/// Where streams are, for the log.
fn positions<P: Play>(player: &Player<P>, floor: &[Place<'_, Seat>]) -> String {
    let mut text = String::new();
    let at = floor.iter().map(|place| player.view(place.conn));
    let mut at = at.filter_map(|view| Some((view.connection, view.next?)));
    for (connection, next) in at.by_ref().take(NAMED) {
        text += if text.is_empty() { " (" } else { ", " };
        text += &format!("connection {connection} before packet {next}");
    }
    match (text.is_empty(), at.count()) {
        (true, _) => text,
        (false, 0) => text + ")",
        (false, more) => format!("{text} and {} more)", grouped(more as u64)),
    }
}

fn shown(place: &Place<'_, Seat>, view: SeatView, last: u32, now: Duration) -> Connection {
    let age = now.saturating_sub(view.opened);
    let age = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
    Connection {
        id: view.connection,
        peer: place.peer().map_or_else(String::new, |peer| peer.to_string()),
        kind: view.kind.to_owned(),
        position: view.next,
        packets: view.packets,
        bytes: view.bytes,
        lag: view.next.map(|next| (last + 1).saturating_sub(next)),
        since: events::now().saturating_sub(age),
    }
}

/// What became of sequences. Where cells are asked for that are narrower than what is counted, each
/// gets its share.
fn strip<P: Play>(player: &Player<P>, from: u32, to: Option<u32>, cells: u32) -> Strip {
    let last = player.tape().last().max(1);
    let to = to.unwrap_or(last).min(last);
    let tally = player.faults().tally();
    let exact = tally.width();
    if from > to {
        return Strip { from, to, width: 1, exact, cells: Vec::new() };
    }
    let width = (to - from + 1).div_ceil(cells);
    let counted = tally.cells();
    let mut strip = Vec::with_capacity(cells as usize);
    let mut first = from;
    while first <= to {
        let end = first.saturating_add(width - 1).min(to);
        let mut sum = [0_u64; 4];
        for at in first / exact..=end / exact {
            let Some(cell) = counted.get(at as usize) else { break };
            let start = at * exact;
            let within = u64::from((end + 1).min(start.saturating_add(exact)) - first.max(start));
            let share = |counted: u64| counted * within / u64::from(exact.min(last + 1 - start));
            let parts = [cell.sent, cell.resent, cell.dropped];
            for (sum, part) in sum.iter_mut().zip(parts) {
                *sum += share(part);
            }
        }
        strip.push(sum);
        first = end + 1;
    }
    Strip { from, to, width, exact, cells: strip }
}
