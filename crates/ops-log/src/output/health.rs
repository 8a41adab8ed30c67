/// State of a log output.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OutputHealth {
    /// Path of the file, or `stdout`, `stderr`, `writer`.
    pub name: String,
    /// `true` for a file, a named pipe or a device with a path.
    pub is_file: bool,
    /// Reason why the last line was not accepted, or why lines do not
    /// go to the file of this name; `None` if there is no problem.
    pub problem: Option<String>,
    /// Number of lines that it did not accept so far. If a disk is full only for a moment, a line
    /// after a partially written line counts too, although it was reported as written to its thread.
    pub lost: u64,
}
