use std::cell::Cell;
use std::sync::Arc;

use crate::render::bound::Snapshot;
use crate::render::fields::Fields;
use crate::render::timestamp::Timestamps;

/// Buffers above this are given back after a long line.
const KEPT_BYTES: usize = 64 * 1024;

/// What a thread needs to render a line; used again for each.
pub(crate) struct Scratch {
    /// The line: head, then the fields.
    pub(crate) fields: Fields,
    /// The same for people, once for each style that is asked for.
    pub(crate) shown: Vec<Shown>,
    pub(crate) spare: Vec<u8>,
    pub(crate) text: String,
    /// The bound fields of a line.
    pub(crate) parts: Vec<Arc<Snapshot>>,
    /// How many of them; those behind are an older line's, as likely as not the next one's again.
    pub(crate) part_count: usize,
    /// Bound fields that the event has values of its own for: part and entry.
    pub(crate) dead: Vec<(u32, u32)>,
    pub(crate) timestamps: Timestamps,
}

/// How lines for people look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Style {
    pub(crate) colour: bool,
    /// Logger and context too.
    pub(crate) context: bool,
}

/// A line for people.
pub(crate) struct Shown {
    pub(crate) style: Style,
    pub(crate) text: Vec<u8>,
    /// Cleared where the text is an older line's.
    pub(crate) fresh: bool,
}

impl Scratch {
    fn new() -> Self {
        Self {
            fields: Fields::default(),
            shown: Vec::new(),
            spare: Vec::new(),
            text: String::new(),
            parts: Vec::new(),
            part_count: 0,
            dead: Vec::new(),
            timestamps: Timestamps::new(),
        }
    }

    /// The rendered line with its newline.
    pub(crate) fn json(&self) -> &[u8] {
        &self.fields.json
    }

    /// The bound fields of a line.
    pub(crate) fn parts(&self) -> &[Arc<Snapshot>] {
        &self.parts[..self.part_count]
    }

    /// Adds bound fields. Where the line before had the same, there is nothing to count.
    #[inline]
    pub(crate) fn add_part(&mut self, snapshot: &Arc<Snapshot>) {
        match self.parts.get_mut(self.part_count) {
            Some(known) if Arc::ptr_eq(known, snapshot) => {}
            Some(other) => *other = Arc::clone(snapshot),
            None => self.parts.push(Arc::clone(snapshot)),
        }
        self.part_count += 1;
    }

    /// The line for people in this style.
    pub(crate) fn shown(&self, style: Style) -> &[u8] {
        self.shown
            .iter()
            .find(|shown| shown.style == style)
            .map_or(&[], |shown| &shown.text)
    }

    #[inline]
    fn clear(&mut self) {
        self.fields.clear();
        self.part_count = 0;
        self.dead.clear();
        let shown = self.shown.iter_mut().map(|shown| {
            shown.fresh = false;
            &mut shown.text
        });
        for buffer in shown.chain([&mut self.fields.json, &mut self.spare]) {
            if buffer.capacity() > KEPT_BYTES {
                *buffer = Vec::new();
            }
        }
        if self.text.capacity() > KEPT_BYTES {
            self.text = String::new();
        }
    }
}

/// Lines within lines: a value that logs while it is formatted gets a buffer of its own, its own values do not.
const MAX_DEPTH: u8 = 2;

thread_local! {
    static SCRATCH: Cell<Option<Box<Scratch>>> = const { Cell::new(None) };
    static DEPTH: Cell<u8> = const { Cell::new(0) };
}

struct Depth;

impl Drop for Depth {
    fn drop(&mut self) {
        let _ = DEPTH.try_with(|depth| depth.set(depth.get() - 1));
    }
}

/// Lends this thread's buffers; `None` where a line is nested too deeply.
pub(crate) fn with_scratch<R>(work: impl FnOnce(&mut Scratch) -> R) -> Option<R> {
    let entered = DEPTH.try_with(|depth| {
        let free = depth.get() < MAX_DEPTH;
        depth.set(depth.get() + u8::from(free));
        free
    });
    // a thread that is about to end has no storage left: its lines are written, at the price of an allocation
    let _depth = match entered {
        Ok(true) => Some(Depth),
        Ok(false) => return None,
        Err(_) => None,
    };
    let mut scratch = SCRATCH
        .try_with(Cell::take)
        .ok()
        .flatten()
        .unwrap_or_else(|| Box::new(Scratch::new()));
    let result = work(&mut scratch);
    scratch.clear();
    let _ = SCRATCH.try_with(|slot| slot.set(Some(scratch)));
    Some(result)
}

/// The bound fields of a line that are alive, then its own, each as key and value in JSON.
pub(crate) fn visible(scratch: &Scratch, with_bound: bool) -> impl Iterator<Item = (&[u8], &[u8])> {
    let bound = scratch
        .parts()
        .iter()
        .enumerate()
        .flat_map(move |(index, part)| {
            let json = &part.fields.json;
            let entries = part.fields.entries.iter().enumerate();
            entries
                .filter(move |(at, _)| !scratch.dead.contains(&(index as u32, *at as u32)))
                .map(move |(_, entry)| (entry.key(json), entry.value(json)))
        });
    let json = &scratch.fields.json;
    let own = scratch
        .fields
        .entries
        .iter()
        .map(move |entry| (entry.key(json), entry.value(json)));
    bound.filter(move |_| with_bound).chain(own)
}
