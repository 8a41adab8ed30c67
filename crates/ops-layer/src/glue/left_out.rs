use serde::de::{Deserialize, Deserializer, Error};

/// Settings of a part that is compiled out: there are none. A file that has some is refused before.
#[derive(Clone, Copy, Debug)]
pub(crate) enum LeftOut {}

impl<'de> Deserialize<'de> for LeftOut {
    fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        Err(D::Error::custom(
            "this program was built without the part that this section is for",
        ))
    }
}
