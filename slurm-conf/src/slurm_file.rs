//! slurm.conf and cgroup.conf as Slurm reads them: case-insensitive keys, several pairs a line,
//! quoted values, comments, continued lines, Include. Knows no setting's meaning.

use std::path::{Path, PathBuf};

/// Longest file, in bytes; a slurm.conf of 10,000 differing nodes has about 2 MB.
pub const FILE_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// Most files, so that one that includes itself ends.
const FILES_MAX: usize = 256;

/// One `Key=Value`, with the place it stands in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// As written.
    pub key: String,
    /// Without quotes.
    pub value: String,
    /// The file.
    pub file: PathBuf,
    /// Line, from 1; the first of a continued one.
    pub line: usize,
}

impl Setting {
    /// Whether it sets `key`, in whatever case.
    #[must_use]
    pub fn is(&self, key: &str) -> bool {
        self.key.eq_ignore_ascii_case(key)
    }
}

/// A line that starts with `NodeName=` or `PartitionName=`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// All its pairs, the name first.
    pub settings: Vec<Setting>,
}

impl Record {
    /// The value after `NodeName=` or `PartitionName=`.
    #[must_use]
    pub fn name(&self) -> &str {
        self.settings.first().map_or("", |setting| &setting.value)
    }

    /// The pair of that key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Setting> {
        self.settings.iter().rev().find(|setting| setting.is(key))
    }
}

/// An `Include` line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Include {
    /// The path as written.
    pub path: String,
    /// The file it stands in.
    pub file: PathBuf,
    /// Line, from 1.
    pub line: usize,
}

/// Text that Slurm would not read either.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// The file.
    pub file: PathBuf,
    /// Line, from 1.
    pub line: usize,
    /// What stands there, and what is wrong.
    pub text: String,
}

/// A configuration file with everything it includes, in the order Slurm reads it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SlurmFile {
    /// Settings that stand for themselves.
    pub settings: Vec<Setting>,
    /// `NodeName=` lines.
    pub nodes: Vec<Record>,
    /// `PartitionName=` lines.
    pub partitions: Vec<Record>,
    /// `Include` lines.
    pub includes: Vec<Include>,
    /// What could not be read.
    pub unreadable: Vec<Unreadable>,
    files: usize,
}

impl SlurmFile {
    /// Reads a file and what it includes.
    ///
    /// # Errors
    /// When the file itself cannot be read; a missing included one is in [`Self::unreadable`].
    pub fn read(path: &Path) -> std::io::Result<Self> {
        let text = crate::limited::read_limited(path, FILE_BYTES_MAX)?;
        let mut file = Self::default();
        file.add(path, path.parent().unwrap_or_else(|| Path::new("/")), &text);
        Ok(file)
    }

    /// The setting that counts: the last one.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Setting> {
        self.settings.iter().rev().find(|setting| setting.is(key))
    }

    fn add(&mut self, path: &Path, directory: &Path, text: &str) {
        self.files += 1;
        for (line, text) in joined_lines(text) {
            let text = without_comment(&text);
            match included(&text) {
                Some(name) => self.include(name, path, directory, line),
                None => self.add_line(path, line, &text),
            }
        }
    }

    fn include(&mut self, name: &str, path: &Path, directory: &Path, line: usize) {
        let include = Include { path: name.to_owned(), file: path.to_owned(), line };
        self.includes.push(include);
        let cluster = self.get("ClusterName").map_or("", |setting| &setting.value);
        let target = directory.join(name.replace("%c", cluster));
        let read = if self.files >= FILES_MAX {
            Err(format!("more than {FILES_MAX} files are included"))
        } else {
            crate::limited::read_limited(&target, FILE_BYTES_MAX).map_err(|error| error.to_string())
        };
        match read {
            Ok(text) => self.add(&target, directory, &text),
            Err(error) => {
                let text = format!("Include {name}: {}: {error}", target.display());
                self.unreadable.push(Unreadable { file: path.to_owned(), line, text });
            }
        }
    }

    fn add_line(&mut self, path: &Path, line: usize, text: &str) {
        let (pairs, rest) = pairs(text);
        if !rest.is_empty() {
            let text = format!("{rest:?} is not of the form Key=Value");
            self.unreadable.push(Unreadable { file: path.to_owned(), line, text });
        }
        let setting = |(key, value): (&str, String)| Setting {
            key: key.to_owned(),
            value,
            file: path.to_owned(),
            line,
        };
        let settings: Vec<Setting> = pairs.into_iter().map(setting).collect();
        let Some(first) = settings.first() else { return };
        if first.is("NodeName") {
            self.nodes.push(Record { settings });
        } else if first.is("PartitionName") {
            self.partitions.push(Record { settings });
        } else if !["DownNodes", "FrontendName", "NodeSet"].iter().any(|key| first.is(key)) {
            self.settings.extend(settings);
        }
    }
}

/// Lines with a backslash at their end drawn together with the next, as Slurm does before it looks
/// for comments.
fn joined_lines(text: &str) -> Vec<(usize, String)> {
    let mut lines: Vec<(usize, String)> = Vec::new();
    let mut continued = false;
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim_end_matches('\r');
        let (part, continues) = match line.strip_suffix('\\') {
            Some(part) => (part, true),
            None => (line, false),
        };
        match lines.last_mut().filter(|_| continued) {
            Some((_, last)) => last.push_str(part),
            None => lines.push((number, part.to_owned())),
        }
        continued = continues;
    }
    lines
}

/// A `#` starts a comment, `\#` is a number sign.
fn without_comment(line: &str) -> String {
    let mut text = String::with_capacity(line.len());
    let mut escaped = false;
    for c in line.chars() {
        match c {
            '#' if !escaped => break,
            '#' => {
                text.pop();
                text.push('#');
            }
            c => text.push(c),
        }
        escaped = c == '\\' && !escaped;
    }
    text
}

fn included(line: &str) -> Option<&str> {
    let (word, rest) = line.trim().split_once(char::is_whitespace)?;
    (word.eq_ignore_ascii_case("include") && !rest.trim().is_empty()).then(|| rest.trim())
}

/// The pairs of a line, and what is left of it where there is no further pair.
fn pairs(line: &str) -> (Vec<(&str, String)>, &str) {
    let mut found = Vec::new();
    let mut rest = line.trim();
    while let Some((key, value, after)) = pair(rest) {
        found.push((key, value.to_owned()));
        rest = after.trim_start();
    }
    (found, rest)
}

/// Key, value and the text behind. Between key and `=` an operator (`+=`) may stand.
fn pair(text: &str) -> Option<(&str, &str, &str)> {
    let (left, right) = text.split_once('=')?;
    let key = left.trim_end_matches(['+', '-', '*', '/']).trim_end();
    let word = |c: char| c.is_ascii_alphanumeric() || "_.".contains(c);
    if key.is_empty() || !key.chars().all(word) {
        return None;
    }
    let right = right.trim_start();
    if let Some((value, after)) = right.strip_prefix('"').and_then(|quoted| quoted.split_once('"'))
    {
        return Some((key, value, after));
    }
    let end = right.find(char::is_whitespace).unwrap_or(right.len());
    let (value, after) = right.split_at_checked(end)?;
    (!value.is_empty()).then_some((key, value, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(files: &[(&str, &str)]) -> SlurmFile {
        let directory = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = directory.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        SlurmFile::read(&directory.path().join(files[0].0)).unwrap()
    }

    #[test]
    fn keys_have_no_case_and_the_last_counts() {
        let file = read(&[("slurm.conf", "slurmuser=a\nSlurmUser = b # c\nx=1 y=\"2 3\"\n")]);
        let user = file.get("SLURMUSER").unwrap();
        assert_eq!((user.value.as_str(), user.line), ("b", 2));
        assert_eq!(file.get("Y").unwrap().value, "2 3");
        assert!(file.unreadable.is_empty());
    }

    #[test]
    fn continued_lines_are_one_and_keep_their_first_number() {
        let file =
            read(&[("slurm.conf", "A=1\nNodeName=n[1-2] \\\n  CPUs=4 \\\n  Weight=2\nB=\\#3\n")]);
        let node = file.nodes.first().unwrap();
        assert_eq!(node.name(), "n[1-2]");
        assert_eq!(node.get("weight").unwrap().line, 2);
        assert_eq!(file.get("b").unwrap().value, "#3");
        assert_eq!(file.get("b").unwrap().line, 5);
    }

    #[test]
    fn a_comment_that_ends_in_a_backslash_swallows_the_next_line_as_in_slurm() {
        let file = read(&[("slurm.conf", "# note \\\nA=1\nB=2\n")]);
        assert!(file.get("A").is_none());
        assert!(file.get("B").is_some());
    }

    #[test]
    fn includes_are_read_in_place_beside_the_main_file() {
        let file = read(&[
            ("slurm.conf", "ClusterName=x\nA=1\ninclude d/%c.conf\nInclude gone.conf\n"),
            ("d/x.conf", "A=2\nPartitionName=p Nodes=ALL\nInclude own.conf\n"),
            ("own.conf", "C=3\n"),
        ]);
        assert_eq!(file.get("a").unwrap().value, "2");
        assert!(file.get("a").unwrap().file.ends_with("d/x.conf"));
        assert_eq!(file.get("c").unwrap().value, "3");
        assert_eq!(file.partitions.first().unwrap().name(), "p");
        assert_eq!(file.includes.len(), 3);
        assert_eq!(file.unreadable.len(), 1);
        assert!(file.unreadable[0].text.starts_with("Include gone.conf: "));
    }

    #[test]
    fn a_file_that_includes_itself_ends() {
        let file = read(&[("slurm.conf", "Include slurm.conf\n")]);
        assert_eq!(file.unreadable.len(), 1);
    }

    #[test]
    fn what_slurm_would_refuse_is_reported() {
        for bad in ["words without sense", "A=1 rest", "=x", "A="] {
            assert_eq!(read(&[("slurm.conf", bad)]).unreadable.len(), 1, "{bad:?}");
        }
    }
}
