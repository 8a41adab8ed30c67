/// State of one output of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OutputHealth {
    /// Path of the file, or `stdout`, `stderr`, `writer`.
    pub name: String,
    /// It is a file, a named pipe or a device with a path.
    pub is_file: bool,
    /// Reason why the last line was not taken, or why lines do not go to the file of this name; `None` while all is well.
    pub problem: Option<String>,
    /// Number of lines that it did not take so far. If a disk is full for a moment only, the line that comes after a part of another
    /// one counts too, although its thread saw it written.
    pub lost: u64,
}
