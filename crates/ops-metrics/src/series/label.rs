use http::Method;

/// Type whose values may be the value of a label.
///
/// A raw user string is intentionally not a label: it would be a series for each text that somebody typed.
pub trait Label {
    /// All values, if they are known: their series exist with 0 from the start. Otherwise empty.
    const VALUES: &'static [&'static str] = &[];

    /// Returns the label's value.
    fn text(&self) -> &str;

    /// Returns an id of the text, by which an existing series is found
    /// without reading the text; with `None` the text is hashed.
    ///
    /// Two values of one type with the same identity must have the same text.
    fn identity(&self) -> Option<LabelId> {
        None
    }
}

/// Id of the text of a label's value: two machine words that are compared instead of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LabelId {
    at: usize,
    len: usize,
}

impl LabelId {
    pub(crate) const NONE: Self = Self { at: 0, len: 0 };

    /// Returns the id of a text that lives as long as the process: its address and length.
    #[inline]
    pub fn of_text(text: &'static str) -> Self {
        Self {
            at: text.as_ptr().addr(),
            len: text.len(),
        }
    }

    /// Returns the id of a numbered value.
    #[inline]
    pub fn of_number(number: usize) -> Self {
        Self { at: number, len: 0 }
    }

    #[inline]
    pub(crate) fn mix(self, hash: u64) -> u64 {
        const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15; // 2^64 divided by the golden ratio
        let word = (self.at as u64) ^ (self.len as u64).rotate_left(48);
        (hash.rotate_left(29) ^ word).wrapping_mul(SPREAD)
    }
}

impl Label for &'static str {
    fn text(&self) -> &str {
        self
    }

    #[inline]
    fn identity(&self) -> Option<LabelId> {
        Some(LabelId::of_text(self))
    }
}

/// A method of RFC 9110, `PATCH` or `QUERY`; any other is `_OTHER`.
impl Label for Method {
    const VALUES: &'static [&'static str] = &[
        "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "QUERY",
        "_OTHER",
    ];

    fn text(&self) -> &str {
        Self::VALUES.get(number(self)).copied().unwrap_or("_OTHER")
    }

    #[inline]
    fn identity(&self) -> Option<LabelId> {
        Some(LabelId::of_number(number(self)))
    }
}

/// Returns the position of the method in `VALUES`.
#[inline]
fn number(method: &Method) -> usize {
    match *method {
        Method::GET => 0,
        Method::HEAD => 1,
        Method::POST => 2,
        Method::PUT => 3,
        Method::DELETE => 4,
        Method::CONNECT => 5,
        Method::OPTIONS => 6,
        Method::TRACE => 7,
        Method::PATCH => 8,
        Method::QUERY => 9,
        _ => 10,
    }
}

/// An HTTP status, 100 to 599; any other is `other`.
impl Label for u16 {
    fn text(&self) -> &str {
        usize::from(*self)
            .checked_sub(100)
            .and_then(|index| STATUSES.get(index))
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .unwrap_or("other")
    }

    #[inline]
    fn identity(&self) -> Option<LabelId> {
        Some(LabelId::of_number(match *self {
            status @ 100..=599 => usize::from(status),
            _ => 0,
        }))
    }
}

static STATUSES: [[u8; 3]; 500] = statuses();

const fn statuses() -> [[u8; 3]; 500] {
    let mut all = [[b'0'; 3]; 500];
    let mut index = 0;
    while index < 500 {
        let status = index + 100;
        all[index] = [
            b'0' + (status / 100) as u8,
            b'0' + (status / 10 % 10) as u8,
            b'0' + (status % 10) as u8,
        ];
        index += 1;
    }
    all
}

/// Declares an enum that is a [`Label`].
///
/// ```
/// use ops_metrics::Label;
/// ops_metrics::labels! {
///     /// Queue that a job waits in.
///     pub enum Queue { Mail = "mail", Report = "report" }
/// }
/// assert_eq!(Queue::VALUES, ["mail", "report"]);
/// assert_eq!(Queue::Mail.text(), "mail");
/// ```
#[macro_export]
macro_rules! labels {
    ($($(#[$meta:meta])* $vis:vis enum $name:ident {
        $($(#[$value_meta:meta])* $value:ident = $text:literal),+ $(,)?
    })+) => {$(
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        $vis enum $name {
            $(#[doc = concat!("`", $text, "`")] $(#[$value_meta])* $value,)+
        }

        impl $crate::Label for $name {
            const VALUES: &'static [&'static str] = &[$($text),+];

            fn text(&self) -> &str {
                match self { $(Self::$value => $text,)+ }
            }

            #[inline]
            fn identity(&self) -> ::core::option::Option<$crate::LabelId> {
                ::core::option::Option::Some($crate::LabelId::of_number(*self as usize))
            }
        }
    )+};
}
