use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use crate::Level;
use crate::render::bound::BoundFields;
use crate::render::fields::Fields;
use crate::render::timestamp::Timestamps;

/// Buffers larger than this, in bytes, are freed after a long line.
const KEPT_BYTES: usize = 64 * 1024;

/// Number of bound layers kept for the next line: more nested spans are rare.
const KEPT_LAYERS: usize = 64;

/// Buffers of a thread for rendering a line; reused for each line.
pub(crate) struct LineBuffers {
    /// Number of the thread among those that log.
    pub(crate) thread: usize,
    /// JSON of the line: head, then the fields.
    pub(crate) fields: Fields,
    /// Console forms of the line, one for each requested style.
    pub(crate) console_renderings: Vec<ConsoleRendering>,
    /// Set if the line may contain a URL or a query.
    pub(crate) has_url: bool,
    pub(crate) spare: Vec<u8>,
    pub(crate) text: String,
    /// Bound fields of the line.
    pub(crate) bound_layers: Vec<Arc<BoundFields>>,
    /// Number of bound layers in use; those after it belong to an older line, and are likely to be used again.
    pub(crate) bound_layer_count: usize,
    /// Bound fields that are overridden by the event: layer and span.
    pub(crate) overridden: Vec<(u32, u32)>,
    /// Warnings about outputs.
    pub(crate) warnings: Vec<Vec<u8>>,
    pub(crate) timestamps: Timestamps,
}

/// Style of console lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Style {
    pub(crate) color: bool,
    /// Set if logger and context are shown.
    pub(crate) context: bool,
}

/// Console form of a line.
pub(crate) struct ConsoleRendering {
    pub(crate) style: Style,
    pub(crate) text: Vec<u8>,
    /// Cleared if the text belongs to an older line.
    pub(crate) fresh: bool,
    /// Length of time and level at its start.
    pub(crate) head: usize,
}

/// Line in each form that outputs need, redacted, to be written later.
#[derive(Debug)]
pub(crate) struct RenderedLine {
    pub(crate) level: Level,
    json: Vec<u8>,
    consoles: Vec<(Style, usize, Vec<u8>)>,
}

impl RenderedLine {
    /// Returns the memory used by the line, in bytes, including overhead.
    pub(crate) fn bytes(&self) -> usize {
        const OVERHEAD: usize = 128;
        let consoles = self.consoles.iter();
        let consoles: usize = consoles.map(|(_, _, text)| OVERHEAD + text.len()).sum();
        OVERHEAD + self.json.len() + consoles
    }
}

impl LineBuffers {
    /// Copies the rendered line.
    pub(crate) fn rendered(&self, level: Level) -> RenderedLine {
        let consoles = self.console_renderings.iter();
        let consoles = consoles.filter(|rendering| rendering.fresh);
        let consoles =
            consoles.map(|rendering| (rendering.style, rendering.head, rendering.text.clone()));
        RenderedLine {
            level,
            json: self.fields.json.clone(),
            consoles: consoles.collect(),
        }
    }

    /// Replaces the current line with a line rendered before.
    pub(crate) fn restore(&mut self, line: RenderedLine) {
        self.fields.json = line.json;
        // console forms of the previous line are invalid
        for rendering in &mut self.console_renderings {
            rendering.fresh = false;
        }
        for (style, head, text) in line.consoles {
            self.console_renderings
                .retain(|rendering| rendering.style != style);
            self.console_renderings.push(ConsoleRendering {
                style,
                text,
                fresh: true,
                head,
            });
        }
    }

    pub(crate) fn new() -> Self {
        static THREADS: AtomicUsize = AtomicUsize::new(0);
        Self {
            thread: THREADS.fetch_add(1, Relaxed),
            fields: Fields::default(),
            console_renderings: Vec::new(),
            has_url: false,
            spare: Vec::new(),
            text: String::new(),
            bound_layers: Vec::new(),
            bound_layer_count: 0,
            overridden: Vec::new(),
            warnings: Vec::new(),
            timestamps: Timestamps::new(),
        }
    }

    /// Returns the rendered line with its newline.
    pub(crate) fn json(&self) -> &[u8] {
        &self.fields.json
    }

    /// Returns the bound fields of the line.
    pub(crate) fn bound_layers(&self) -> &[Arc<BoundFields>] {
        &self.bound_layers[..self.bound_layer_count]
    }

    /// Adds bound fields. If the previous line had the same ones, no reference count changes.
    #[inline]
    pub(crate) fn add_bound_layer(&mut self, layer: &Arc<BoundFields>) {
        match self.bound_layers.get_mut(self.bound_layer_count) {
            Some(known) if Arc::ptr_eq(known, layer) => {}
            Some(other) => *other = Arc::clone(layer),
            None => self.bound_layers.push(Arc::clone(layer)),
        }
        self.bound_layer_count += 1;
    }

    /// Returns the console form in this style, or JSON if it was not rendered.
    pub(crate) fn console_rendering(&self, style: Style) -> &[u8] {
        self.console_renderings
            .iter()
            .find(|rendering| rendering.style == style && rendering.fresh)
            .map_or(self.json(), |rendering| &rendering.text)
    }

    #[inline(always)]
    fn clear(&mut self) {
        self.fields.clear();
        self.bound_layer_count = 0;
        self.overridden.clear();
        if self.bound_layers.len() > KEPT_LAYERS {
            self.bound_layers = Vec::new();
            self.overridden = Vec::new();
        }
        for rendering in &mut self.console_renderings {
            rendering.fresh = false;
            give_back(&mut rendering.text);
        }
        give_back(&mut self.fields.json);
        give_back(&mut self.spare);
        if self.text.capacity() > KEPT_BYTES {
            self.text = String::new();
        }
    }
}

/// Frees the memory of a long line.
#[inline(always)]
fn give_back(buffer: &mut Vec<u8>) {
    if buffer.capacity() > KEPT_BYTES {
        *buffer = Vec::new();
    }
}

/// Maximum depth of lines within lines: a value that logs while it is
/// formatted gets a second buffer, values of that line cannot log.
const MAX_DEPTH: u8 = 2;

thread_local! {
    static BUFFERS: Cell<Option<Box<LineBuffers>>> = const { Cell::new(None) };
    static DEPTH: Cell<u8> = const { Cell::new(0) };
}

struct Depth;

impl Drop for Depth {
    fn drop(&mut self) {
        let _ = DEPTH.try_with(|depth| depth.set(depth.get() - 1));
    }
}

/// Calls `work` with the buffers of this thread; `None` if lines are nested too deeply.
#[inline(always)]
pub(crate) fn with_buffers<R>(work: impl FnOnce(&mut LineBuffers) -> R) -> Option<R> {
    let entered = DEPTH.try_with(|depth| {
        let free = depth.get() < MAX_DEPTH;
        depth.set(depth.get() + u8::from(free));
        free
    });
    // a thread that is ending has no storage left: its lines cost an allocation
    let _depth = match entered {
        Ok(true) => Some(Depth),
        Ok(false) => return None,
        Err(_) => None,
    };
    let mut buffers = BUFFERS
        .try_with(Cell::take)
        .ok()
        .flatten()
        .unwrap_or_else(|| Box::new(LineBuffers::new()));
    let result = work(&mut buffers);
    buffers.clear();
    let _ = BUFFERS.try_with(|slot| slot.set(Some(buffers)));
    Some(result)
}

/// Returns the bound fields that are not overridden, then the line's own, each as key and value in JSON.
pub(crate) fn visible(
    buffers: &LineBuffers,
    with_bound: bool,
) -> impl Iterator<Item = (&[u8], &[u8])> {
    let bound = buffers
        .bound_layers()
        .iter()
        .enumerate()
        .flat_map(move |(index, layer)| {
            let json = &layer.fields.json;
            let spans = layer.fields.spans.iter().enumerate();
            spans
                .filter(move |(at, _)| {
                    let place = (index as u32, *at as u32);
                    buffers.overridden.binary_search(&place).is_err()
                })
                .map(move |(_, span)| (span.key(json), span.value(json)))
        });
    let json = &buffers.fields.json;
    let own = buffers
        .fields
        .spans
        .iter()
        .map(move |span| (span.key(json), span.value(json)));
    bound.filter(move |_| with_bound).chain(own)
}
