//! Survey of captures: which lines there are, and what each of them and all together have missed.

use super::datagram::{self, MoldDatagram, MoldKind, NotMold};
use super::file::{CaptureDamage, CaptureKind, CapturedPacket};
use super::line::{Line, Route};
use super::link::{self, PacketContent, UdpDatagram};
use super::merge::{CaptureFiles, CaptureInput};
use super::stream::{CaptureStream, DatagramSums, HELD_BACK_MAX, Likeness, Membership};
use super::tracker::is_jump;
use crate::error::Failure;
use feed::wire::Framing;
use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// Maximum number of lines.
const LINES_MAX: usize = 1_024;

/// Maximum number of streams, which take about 1 MiB each.
const STREAMS_MAX: usize = 64;

/// Maximum number of destinations of other datagrams that are told apart.
const OTHERS_MAX: usize = 256;

/// Maximum number of link types that are told apart.
const LINKS_MAX: usize = 64;

/// Maximum number of datagrams and messages that all lines together hold back.
const HELD_BACK_TOTAL: usize = 1 << 20;

/// Datagrams to one destination that are not MoldUDP64.
#[derive(Clone, Debug)]
pub(crate) struct OtherTraffic {
    /// Group or address, and port.
    pub(crate) destination: SocketAddr,
    /// Number of datagrams.
    pub(crate) datagrams: u64,
    /// Number of the first one in its file.
    pub(crate) packet: u64,
    /// Reason for which the first one is not MoldUDP64.
    pub(crate) reason: NotMold,
    /// True if most datagrams to the destination are MoldUDP64, so that these are malformed.
    pub(crate) is_malformed: bool,
}

/// Packets of captures, counted by what they are.
#[derive(Clone, Default, Debug)]
pub(crate) struct PacketCounts {
    /// Number of packets.
    pub(crate) packets: u64,
    /// Number of UDP datagrams.
    pub(crate) datagrams: u64,
    /// Number of fragments of IP packets, and the number of the first one in its file.
    pub(crate) fragments: u64,
    /// Number of the first fragment in its file.
    pub(crate) first_fragment: Option<u64>,
    /// Number of packets of other protocols.
    pub(crate) others: u64,
    /// Number of packets whose headers were cut off or are wrong.
    pub(crate) unreadable: u64,
    /// Numbers of packets of link types that are not known.
    pub(crate) unknown_links: BTreeMap<i32, u64>,
    /// Number of datagrams of lines and destinations beyond the maximum numbers.
    pub(crate) left_out: u64,
}

/// Contents of captures.
#[derive(Clone, Debug)]
pub(crate) struct CaptureSurvey {
    /// Paths of the files.
    pub(crate) files: Vec<PathBuf>,
    /// Kinds of the files.
    pub(crate) kinds: Vec<CaptureKind>,
    /// Counts of packets by kind.
    pub(crate) counts: PacketCounts,
    /// Damaged places.
    pub(crate) damage: Vec<CaptureDamage>,
    /// Times of the first and the last packet, in nanoseconds since 1970.
    pub(crate) times: Option<(u64, u64)>,
    /// Lines in the order of their first datagrams.
    pub(crate) lines: Vec<Line>,
    /// Streams in the order of their first datagrams.
    pub(crate) streams: Vec<CaptureStream>,
    /// Datagrams that are not MoldUDP64, by their destinations.
    pub(crate) other_traffic: Vec<OtherTraffic>,
}

impl CaptureSurvey {
    /// Reads captures.
    ///
    /// # Errors
    /// Returns an error if a file cannot be read or is no capture, and errors of `check`, which is
    /// called for each packet. Damage is not an error.
    pub(crate) fn read(
        paths: &[impl AsRef<Path>],
        check: impl FnMut() -> Result<(), Failure>,
    ) -> Result<Self, Failure> {
        let paths: Vec<PathBuf> = paths.iter().map(|path| path.as_ref().to_owned()).collect();
        Self::of(&CaptureInput::read_once(&paths)?, paths, check)
    }

    /// Reads captures from inputs, which have these paths.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub(super) fn of(
        inputs: &[CaptureInput],
        paths: Vec<PathBuf>,
        mut check: impl FnMut() -> Result<(), Failure>,
    ) -> Result<Self, Failure> {
        let mut files = CaptureFiles::open(inputs)?;
        let mut builder = SurveyBuilder::default();
        files.read(|packet, data| {
            check()?;
            builder.take(packet, data);
            Ok(())
        })?;
        Ok(builder.finish(paths, files))
    }

    /// Returns the streams that lines carry, each with its index.
    pub(crate) fn live_streams(&self) -> impl Iterator<Item = (usize, &CaptureStream)> {
        (0..).zip(&self.streams).filter(|(_, stream)| !stream.members.is_empty())
    }

    /// Returns a stream's name for `--session`: its session, with a destination if several streams
    /// have that session.
    pub(crate) fn choice_text(&self, index: usize) -> String {
        let Some(stream) = self.streams.get(index) else { return String::new() };
        let session = stream.session;
        let alike = self.live_streams().filter(|(_, other)| other.session == session).count();
        let line = stream.members.first().and_then(|member| self.lines.get(member.line));
        match line {
            Some(line) if alike > 1 => format!("{session}@{}", line.route.destination),
            _ => session.to_string(),
        }
    }

    /// Returns whether messages are missing from all lines of a stream together, or there is no
    /// stream.
    pub(crate) fn is_incomplete(&self) -> bool {
        self.live_streams().all(|(_, stream)| stream.messages == 0)
            || self.live_streams().any(|(_, stream)| stream.tracker.gaps().gaps > 0)
    }
}

/// Survey that is being made.
#[derive(Default)]
struct SurveyBuilder {
    counts: PacketCounts,
    times: Option<(u64, u64)>,
    routes: HashMap<Route, usize>,
    lines: Vec<Line>,
    streams: Vec<CaptureStream>,
    others: HashMap<SocketAddr, OtherTraffic>,
    sums: Option<DatagramSums>,
    /// Number of datagrams that all lines hold back, and of their messages, together.
    held_back: usize,
}

impl SurveyBuilder {
    fn take(&mut self, packet: &CapturedPacket, data: &[u8]) {
        let counts = &mut self.counts;
        counts.packets += 1;
        let (first, last) = self.times.unwrap_or((packet.at, packet.at));
        self.times = Some((first.min(packet.at), last.max(packet.at)));
        match link::content(packet.link, data) {
            PacketContent::Udp(udp) => {
                counts.datagrams += 1;
                if let Err(reason) = self.take_datagram(udp, packet.at) {
                    self.note_other(udp.destination, packet.number, reason);
                }
            }
            PacketContent::Fragment => {
                counts.fragments += 1;
                counts.first_fragment.get_or_insert(packet.number);
            }
            PacketContent::Other => counts.others += 1,
            PacketContent::Unreadable => counts.unreadable += 1,
            PacketContent::UnknownLink => {
                let links = &mut counts.unknown_links;
                if links.len() < LINKS_MAX || links.contains_key(&packet.link) {
                    *links.entry(packet.link).or_default() += 1;
                }
            }
        }
    }

    fn take_datagram(&mut self, udp: UdpDatagram<'_>, at: u64) -> Result<(), NotMold> {
        let mold = datagram::parse(udp.payload, udp.cut)?;
        let route = Route { source: udp.source, destination: udp.destination };
        let Some(place) = self.line(route) else {
            self.counts.left_out += 1;
            return Ok(());
        };
        let answers = self.requests_to(route);
        let begin = self.times.map_or(at, |(first, _)| first);
        let Some(line) = self.lines.get_mut(place) else { return Ok(()) };
        line.answers |= answers;
        if mold.kind == MoldKind::Request {
            line.requests += 1;
            line.requested += mold.span.held;
            return Ok(());
        }
        let session = line.session(mold.session, begin, at).ok_or(NotMold::Sessions)?;
        let held = &mut line.sessions[session];
        if is_jump(held.tracker.next(), mold.span) {
            return Err(NotMold::Jump(mold.span.first));
        }
        held.count(mold.span, at);
        held.bytes += (udp.payload.len() + udp.cut) as u64;
        held.heartbeats += u64::from(mold.kind == MoldKind::Heartbeat);
        held.ends += u64::from(mold.kind == MoldKind::EndOfSession);
        held.cut_datagrams += u64::from(mold.cut > 0);
        held.cut_messages += mold.cut;
        let sums = self.sums.take();
        let sums = checksums(sums, &mold, at);
        self.give((place, session), &sums);
        self.sums = Some(sums);
        Ok(())
    }

    /// Returns the index of a route's line, which is added if it is new; `None` if there are too
    /// many.
    fn line(&mut self, route: Route) -> Option<usize> {
        if let Some(place) = self.routes.get(&route) {
            return Some(*place);
        }
        if self.lines.len() >= LINES_MAX {
            return None;
        }
        self.routes.insert(route, self.lines.len());
        self.lines.push(Line::new(route));
        Some(self.lines.len() - 1)
    }

    /// Returns whether the datagrams of a route answer requests.
    fn requests_to(&self, route: Route) -> bool {
        let asking = self.routes.get(&route.reversed()).and_then(|place| self.lines.get(*place));
        asking.is_some_and(|line| line.requests > 0)
    }

    /// Gives a datagram of a line's session to its stream.
    fn give(&mut self, (line, session): (usize, usize), datagram: &DatagramSums) {
        let Some(held) = self.lines.get_mut(line).and_then(|line| line.sessions.get_mut(session))
        else {
            return;
        };
        match &mut held.membership {
            Membership::Member { stream, place } => {
                if let Some(stream) = self.streams.get_mut(*stream) {
                    stream.take(*place, datagram);
                }
            }
            Membership::LeftOut => {}
            Membership::HeldBack { datagrams, messages } => {
                *messages += datagram.sums.len();
                datagrams.push(datagram.clone());
                self.held_back += 1 + datagram.sums.len();
                // Each datagram that is held back is compared a few times only.
                let is_turn = datagrams.len().is_power_of_two();
                let is_due =
                    datagrams.len() + *messages > HELD_BACK_MAX || self.held_back > HELD_BACK_TOTAL;
                match (is_due, is_turn) {
                    (true, _) => self.decide((line, session), Deadline::Now),
                    (false, true) => self.decide((line, session), Deadline::Later),
                    (false, false) => {}
                }
            }
        }
    }

    /// Decides which stream the session of a line belongs to, if that is known.
    fn decide(&mut self, (line, session): (usize, usize), deadline: Deadline) {
        let answers = self.lines.get(line).is_some_and(|line| line.answers);
        let Some(held) = self.lines.get_mut(line).and_then(|line| line.sessions.get_mut(session))
        else {
            return;
        };
        let Membership::HeldBack { datagrams, .. } = &held.membership else { return };
        let id = held.session;
        let streams = || self.streams.iter().enumerate().filter(|(_, found)| found.session == id);
        let likeness = |stream: &CaptureStream| {
            let mut found = datagrams.iter().map(|datagram| stream.likeness(datagram));
            found.find(|found| *found != Likeness::Unknown).unwrap_or(Likeness::Unknown)
        };
        let alike: Vec<(usize, Likeness)> =
            streams().map(|(at, stream)| (at, likeness(stream))).collect();
        let has = |wanted| alike.iter().find(|(_, found)| *found == wanted).map(|(at, _)| *at);
        // Heartbeats alone cannot be compared, nor can answers from before the window.
        let is_heartbeats = datagrams.iter().all(|datagram| datagram.sums.is_empty());
        let only = match has(Likeness::Unknown) {
            Some(at) if answers || is_heartbeats && deadline == Deadline::Now => Some(at),
            _ => None,
        };
        let is_due = deadline == Deadline::Now;
        let is_open = has(Likeness::Unknown).is_some() && !is_due;
        // Lines that lost each other's messages have none in common, but the same range of
        // sequences. Other feeds of the same session name would have differed in it.
        let range = held.tracker.span();
        let overlaps = |stream: &CaptureStream| {
            let common = stream.tracker.span().zip(range);
            common.is_some_and(|(all, own)| all.intersect(own).is_some())
        };
        let unknown = alike.iter().filter(|(_, found)| *found == Likeness::Unknown);
        let mut beside =
            unknown.map(|(at, _)| *at).filter(|at| is_due && overlaps(&self.streams[*at]));
        let stream = match has(Likeness::Same).or(only).or_else(|| beside.next()) {
            Some(stream) => stream,
            None if is_open => return,
            None if self.streams.len() < STREAMS_MAX => {
                self.streams.push(CaptureStream::new(id));
                self.streams.len() - 1
            }
            None => {
                self.held_back -= held.membership.held_back();
                held.membership = Membership::LeftOut;
                return;
            }
        };
        let Some(joined) = self.streams.get_mut(stream) else { return };
        self.held_back -= held.membership.held_back();
        let place = joined.join(line);
        let before = std::mem::replace(&mut held.membership, Membership::Member { stream, place });
        if let Membership::HeldBack { datagrams, .. } = before {
            datagrams.iter().for_each(|datagram| joined.take(place, datagram));
        }
    }

    fn note_other(&mut self, destination: SocketAddr, packet: u64, reason: NotMold) {
        if let Some(other) = self.others.get_mut(&destination) {
            other.datagrams += 1;
        } else if self.others.len() < OTHERS_MAX {
            let other =
                OtherTraffic { destination, datagrams: 1, packet, reason, is_malformed: false };
            self.others.insert(destination, other);
        } else {
            self.counts.left_out += 1;
        }
    }

    fn finish(mut self, paths: Vec<PathBuf>, files: CaptureFiles) -> CaptureSurvey {
        self.drop_other_protocols();
        for line in 0..self.lines.len() {
            for session in 0..self.lines[line].sessions.len() {
                self.decide((line, session), Deadline::Now);
            }
        }
        let mut other_traffic: Vec<OtherTraffic> = self.others.into_values().collect();
        other_traffic.sort_by_key(|other| (other.is_malformed, other.destination));
        CaptureSurvey {
            files: paths,
            kinds: files.kinds,
            counts: self.counts,
            damage: files.damage,
            times: self.times,
            lines: self.lines,
            streams: self.streams,
            other_traffic,
        }
    }

    /// Removes the lines to destinations whose datagrams are MoldUDP64 by chance only.
    fn drop_other_protocols(&mut self) {
        let mut good: HashMap<SocketAddr, u64> = HashMap::new();
        for line in &self.lines {
            *good.entry(line.route.destination).or_default() += line.datagrams();
        }
        for other in self.others.values_mut() {
            let good = good.get(&other.destination).copied().unwrap_or_default();
            other.is_malformed = good > other.datagrams;
            if !other.is_malformed {
                other.datagrams += good;
            }
        }
        let others = &self.others;
        let is_other =
            |line: &Line| others.get(&line.route.destination).is_some_and(|o| !o.is_malformed);
        let wrong: Vec<usize> =
            (0..).zip(&self.lines).filter(|(_, line)| is_other(line)).map(|(at, _)| at).collect();
        for line in wrong {
            let dropped = self.lines.get_mut(line);
            dropped.into_iter().for_each(|line| line.sessions.clear());
            // A stream that only such lines have brought is none either.
            for stream in &mut self.streams {
                stream.members.retain(|member| member.line != line);
            }
        }
    }
}

/// Time by which the stream of a line must be known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Deadline {
    Later,
    Now,
}

/// Returns the checksums of a datagram's messages, in memory that was used before.
fn checksums(used: Option<DatagramSums>, mold: &MoldDatagram<'_>, at: u64) -> DatagramSums {
    let mut sums = used.map_or(Vec::new(), |used| used.sums);
    sums.clear();
    let mut rest = mold.blocks;
    while let Some((message, behind)) = Framing::Length.split_first(rest) {
        sums.push(crc32c::crc32c(message));
        rest = behind;
    }
    DatagramSums { span: mold.span, at, sums }
}
