//! A file for the textfile collector of node-exporter.

use std::{
    ffi::OsStr,
    fs::{self, Permissions},
    io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    str::FromStr,
};

/// Node-exporter runs as somebody else, whatever this process' umask says.
const READABLE: u32 = 0o644;

#[derive(Clone, Debug)]
pub(crate) struct Textfile(PathBuf);

impl FromStr for Textfile {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let path = PathBuf::from(text);
        if path.extension() == Some(OsStr::new("prom")) {
            return Ok(Self(path));
        }
        Err("node-exporter reads only files whose names end in .prom; write it as /var/lib/node-exporter/service.prom"
            .to_owned())
    }
}

impl Textfile {
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Whether it could be written. Leaves nothing behind.
    pub(crate) fn check(&self) -> io::Result<()> {
        if self.0.is_dir() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        let beside = self.beside();
        // A page: a disk that is full takes a file, and nothing into it.
        let written = fs::write(&beside, [b' '; 4096]);
        let removed = fs::remove_file(beside);
        written.and(removed)
    }

    /// Writes all of `text` or nothing: into a file beside it first, which then takes its name.
    pub(crate) fn write(&self, text: &str) -> Result<(), String> {
        let beside = self.beside();
        let written = fs::write(&beside, text)
            .and_then(|()| fs::set_permissions(&beside, Permissions::from_mode(READABLE)))
            .and_then(|()| fs::rename(&beside, &self.0));
        written.map_err(|error| {
            // On a full disk each restart would leave one more of them.
            let _ = fs::remove_file(&beside);
            let path = self.0.display();
            format!("METRICS_TEXTFILE={path} cannot be written: {error}; the folder has to be there, and writable")
        })
    }

    /// Not a name that node-exporter would read.
    fn beside(&self) -> PathBuf {
        let mut name = self.0.clone().into_os_string();
        name.push(format!(".{}.tmp", std::process::id()));
        name.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_replaced_as_a_whole_and_readable_and_nothing_else_is_left() {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let path = folder.path().join("service.prom");
        let file: Textfile = path.to_str().expect("a temporary path is text").parse().expect("it ends in .prom");
        let left = || fs::read_dir(folder.path()).expect("it is ours").count();
        file.check().expect("it can be written");
        assert_eq!(left(), 0);
        for text in ["a 1\nb 2\n", "a 3\n"] {
            file.write(text).expect("as was checked");
            assert_eq!((fs::read_to_string(&path).expect("it is there").as_str(), left()), (text, 1));
        }
        let mode = fs::metadata(&path).expect("it is there").permissions().mode();
        assert_eq!(mode & 0o777, READABLE);
        fs::remove_file(&path).expect("it is ours");
        fs::create_dir(&path).expect("its name is free");
        assert!(file.check().is_err());
        let error = file.write("a 1\n").expect_err("a folder has its name");
        assert!(error.starts_with(&format!("METRICS_TEXTFILE={}", path.display())), "{error}");
        assert_eq!(left(), 1);
    }

    #[test]
    fn a_name_that_node_exporter_does_not_read_is_refused() {
        for name in ["service.txt", "service", ".prom", "service.prom.txt", ""] {
            assert!(name.parse::<Textfile>().is_err(), "{name}");
        }
    }
}
