use http::Method;

/// A type whose values may become a label's value.
///
/// A raw user string is none by intention: it would be a series for each thing that somebody typed.
pub trait Label {
    /// All values, where they are known: such series are there with 0 from the start. Empty where they are not.
    const VALUES: &'static [&'static str] = &[];

    /// The label's value.
    fn text(&self) -> &str;
}

impl Label for &'static str {
    fn text(&self) -> &str {
        self
    }
}

/// A method of RFC 9110 or `PATCH`; any other is `_OTHER`.
impl Label for Method {
    const VALUES: &'static [&'static str] = &[
        "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "_OTHER",
    ];

    fn text(&self) -> &str {
        let text = self.as_str();
        if Self::VALUES.contains(&text) {
            text
        } else {
            "_OTHER"
        }
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
///     /// Where a job waits.
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
        }
    )+};
}
