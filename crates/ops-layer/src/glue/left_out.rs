use serde::de::{Deserialize, Deserializer, Error};

/// Settings of a part that is compiled out: there are none. A file with such settings is refused earlier.
#[derive(Clone, Copy, Debug)]
pub(crate) enum LeftOut {}

impl<'de> Deserialize<'de> for LeftOut {
    fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        Err(D::Error::custom(
            "this program is built without the feature for this section",
        ))
    }
}
