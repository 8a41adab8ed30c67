//! Files and standard input, plain or compressed.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use flate2::read::MultiGzDecoder;
use ops_layer::log::reader::{Lines, Tail};

/// Name of standard input on the command line, and as a file.
const STDIN: [&str; 2] = ["-", "/dev/stdin"];

/// First bytes of compressed formats, and the tools that decompress them.
const COMPRESSED: [([u8; 2], &str); 3] = [
    (GZIP, "zcat"),
    ([0x28, 0xb5], "zstdcat"),
    ([0xfd, 0x37], "xzcat"),
];
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// Source of lines.
pub(super) trait Source {
    fn next_line(&mut self) -> io::Result<Option<String>>;
    /// Returns `true` if the next line is available without waiting.
    fn has_line(&self) -> bool;
}

impl<R: Read> Source for Lines<R> {
    fn next_line(&mut self) -> io::Result<Option<String>> {
        self.next_line()
    }

    fn has_line(&self) -> bool {
        self.has_line()
    }
}

impl Source for Tail {
    fn next_line(&mut self) -> io::Result<Option<String>> {
        self.next_line()
    }

    fn has_line(&self) -> bool {
        self.has_line()
    }
}

pub(super) fn is_stdin(file: &Path) -> bool {
    file == Path::new(STDIN[0])
}

/// An open input, with the identity of the file if it is a regular one.
pub(super) struct Input {
    pub(super) bytes: Box<dyn Read>,
    pub(super) inode: Option<(u64, u64)>,
}

/// Opens a file or standard input, and decompresses gzip.
pub(super) fn open(file: &Path) -> io::Result<Input> {
    let mut inode = None;
    let mut input: Box<dyn Read> = match is_stdin(file) {
        true => Box::new(io::stdin()),
        false => {
            let file = File::open(file)?;
            let metadata = file.metadata()?;
            inode = metadata.is_file().then(|| (metadata.dev(), metadata.ino()));
            Box::new(file)
        }
    };
    let start = start(&mut input)?;
    let is_gzip = start == GZIP;
    if !is_gzip {
        refuse_compressed(&start, file, "")?;
    }
    let whole = io::Cursor::new(start).chain(input);
    let bytes: Box<dyn Read> = match is_gzip {
        true => Box::new(MultiGzDecoder::new(whole)),
        false => Box::new(whole),
    };
    Ok(Input { bytes, inode })
}

/// Opens a file that may grow, or standard input.
pub(super) fn open_to_follow(file: &Path) -> io::Result<Tail> {
    let name = match is_stdin(file) {
        true => Path::new(STDIN[1]),
        false => file,
    };
    // not for a pipe: the bytes read here would be lost
    if std::fs::metadata(name)?.is_file() {
        refuse_compressed(
            &start(&mut File::open(name)?)?,
            file,
            ", which does not grow",
        )?;
    }
    Tail::open(name)
}

fn start(input: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut start = Vec::new();
    input.take(2).read_to_end(&mut start)?;
    Ok(start)
}

fn refuse_compressed(start: &[u8], file: &Path, why: &str) -> io::Result<()> {
    let Some((_, tool)) = COMPRESSED.iter().find(|(magic, _)| start == magic) else {
        return Ok(());
    };
    let file = file.display();
    Err(io::Error::other(format!(
        "compressed file{why}; read it with: {tool} {file} | kearney-platform logs -"
    )))
}
