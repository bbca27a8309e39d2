//! Archives by hand: anything a hostile or careless tool may write.

use tar::{EntryType, Header};

/// An archive that grows.
#[derive(Debug, Clone, Default)]
pub(super) struct Archive {
    bytes: Vec<u8>,
    mtime: u64,
}

/// An entry with everything that may be said about one.
#[derive(Debug, Clone)]
pub(super) struct Item {
    pub(super) path: Vec<u8>,
    pub(super) kind: EntryType,
    pub(super) mode: u32,
    pub(super) uid: u64,
    pub(super) gid: u64,
    pub(super) link: Vec<u8>,
    pub(super) content: Vec<u8>,
    pub(super) pax: Vec<(Vec<u8>, Vec<u8>)>,
    /// Stated instead of the content's length.
    pub(super) size: Option<u64>,
}

impl Item {
    pub(super) fn new(path: &str, kind: EntryType) -> Self {
        Self {
            path: path.into(),
            kind,
            mode: 0o644,
            uid: 0,
            gid: 0,
            link: vec![],
            content: vec![],
            pax: vec![],
            size: None,
        }
    }

    pub(super) fn file(path: &str, content: &str) -> Self {
        Self { content: content.into(), ..Self::new(path, EntryType::Regular) }
    }

    pub(super) fn mode(self, mode: u32) -> Self {
        Self { mode, ..self }
    }

    pub(super) fn owner(self, uid: u64, gid: u64) -> Self {
        Self { uid, gid, ..self }
    }

    pub(super) fn pax(mut self, key: &str, value: &[u8]) -> Self {
        self.pax.push((key.into(), value.into()));
        self
    }
}

impl Archive {
    pub(super) fn new() -> Self {
        Self { bytes: vec![], mtime: 1_600_000_000 }
    }

    /// A whole archive, with its end mark.
    pub(super) fn bytes(&self) -> Vec<u8> {
        [&self.bytes[..], &[0; 1024]].concat()
    }

    pub(super) fn raw(mut self, bytes: &[u8]) -> Self {
        self.bytes.extend_from_slice(bytes);
        self
    }

    pub(super) fn file(self, path: &str, content: &str) -> Self {
        self.item(&Item::file(path, content))
    }

    pub(super) fn dir(self, path: &str) -> Self {
        self.item(&Item::new(path, EntryType::Directory).mode(0o755))
    }

    pub(super) fn symlink(self, path: &str, target: &str) -> Self {
        let link = target.into();
        self.item(&Item { link, mode: 0o777, ..Item::new(path, EntryType::Symlink) })
    }

    pub(super) fn hard_link(self, path: &str, target: &str) -> Self {
        self.item(&Item { link: target.into(), ..Item::new(path, EntryType::Link) })
    }

    pub(super) fn item(mut self, item: &Item) -> Self {
        // Each entry has a time of its own.
        self.mtime += 1;
        let mut records = Vec::new();
        for (key, value) in &item.pax {
            super::super::pax::append(&mut records, key, value);
        }
        if item.path.len() > 100 {
            super::super::pax::append(&mut records, b"path", &item.path);
        }
        if item.link.len() > 100 {
            super::super::pax::append(&mut records, b"linkpath", &item.link);
        }
        if !records.is_empty() {
            self.member(&Item::new("pax", EntryType::XHeader), &records);
        }
        self.member(item, &item.content);
        self
    }

    fn member(&mut self, item: &Item, content: &[u8]) {
        let mut header = Header::new_gnu();
        let old = header.as_old_mut();
        old.name.iter_mut().zip(&item.path).for_each(|(to, from)| *to = *from);
        old.linkname.iter_mut().zip(&item.link).for_each(|(to, from)| *to = *from);
        header.set_entry_type(item.kind);
        header.set_mode(item.mode);
        header.set_uid(item.uid);
        header.set_gid(item.gid);
        header.set_mtime(self.mtime);
        header.set_size(item.size.unwrap_or(content.len() as u64));
        if matches!(item.kind, EntryType::Char | EntryType::Block) {
            header.set_device_major(1).unwrap();
            header.set_device_minor(3).unwrap();
        }
        header.set_cksum();
        self.bytes.extend_from_slice(header.as_bytes());
        self.bytes.extend_from_slice(content);
        self.bytes.resize(self.bytes.len().next_multiple_of(512), 0);
    }
}
