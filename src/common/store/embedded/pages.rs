//! The pages of an LMDB data file, read and judged without mapping it.
//!
//! LMDB trusts its file: a cut one ends the process with SIGBUS, a damaged page may end
//! it or hide keys. Here every offset is checked before it is followed.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

const MAGIC: u32 = 0xBEEF_C0DE;
const VERSION: u32 = 1;
const HEADER: usize = 16;
const META_LEN: usize = HEADER + 136;
const NODE_HEADER: usize = 8;
const TREE_LEN: usize = 48;
const NO_PAGE: u64 = u64::MAX;
/// Deepest tree LMDB makes.
const DEPTH_MAX: u16 = 32;

const BRANCH: u16 = 0x01;
const LEAF: u16 = 0x02;
const OVERFLOW: u16 = 0x04;
const BIG: u16 = 0x01;
const SUBTREE: u16 = 0x02;

/// Whether the layout known here is this machine's: LMDB's file follows word size and byte order.
const KNOWN: bool = cfg!(all(target_pointer_width = "64", target_endian = "little"));

/// Takes each record: database, key, value. An error stops the walk.
pub(super) type Visit<'v> = &'v mut dyn FnMut(&str, &[u8], &[u8]) -> Result<(), String>;

/// Checks that the file is an LMDB file and as long as its header says.
///
/// LMDB may leave free pages at the end unwritten, so a shorter file is walked: only when
/// a page in use is missing is it an error. Costs two reads when the file is whole.
pub(super) fn check_length(path: &Path) -> Result<(), String> {
    let mut verdict = Ok(());
    // A writer at work may be caught between two writes: only what stays wrong is wrong.
    for attempt in 0..4 {
        if attempt > 0 {
            std::thread::sleep(Duration::from_millis(10));
        }
        verdict = match long_enough(path) {
            Ok(true) => Ok(()),
            Ok(false) => walk(path, None, &mut |_, _, _| Ok(())),
            Err(why) => Err(why),
        };
        if verdict.is_ok() {
            break;
        }
    }
    verdict
}

fn long_enough(path: &Path) -> Result<bool, String> {
    let file = open(path)?;
    if !KNOWN {
        return Ok(true);
    }
    let meta = newest(&file)?;
    // The length is read after the header: the file only grows.
    Ok(pages_in(&file, meta.page_size)? > meta.last_page)
}

/// Walks all pages in use, as of transaction `at` or the newest, and gives every record to `visit`.
///
/// With `at` a reader must hold that transaction; without it, a commit in between is an error to be tried again.
pub(super) fn walk(path: &Path, at: Option<u64>, visit: Visit<'_>) -> Result<(), String> {
    let file = open(path)?;
    if !KNOWN {
        return Ok(());
    }
    let meta = match at {
        None => newest(&file)?,
        Some(id) => metas(&file)?.into_iter().find(|m| m.txn == id).ok_or("its header moved on while it was read")?,
    };
    let pages = pages_in(&file, meta.page_size)?.min(meta.last_page + 1);
    let mut walker = Walker { file: &file, page_size: meta.page_size, pages, seen: vec![0; pages as usize / 64 + 1] };
    walker.mark(0)?;
    walker.mark(1)?;
    walker.tree(&meta.free, false, &mut |_, _, _| Ok(()))?;
    let mut trees = Vec::new();
    walker.tree(&meta.main, true, &mut |name, value, subtree| {
        if !subtree || value.len() != TREE_LEN {
            return Err("an entry of the main database is no database".into());
        }
        trees.push((String::from_utf8_lossy(name).into_owned(), Tree::read(value)));
        Ok(())
    })?;
    for (name, tree) in &trees {
        walker.tree(tree, true, &mut |key, value, subtree| match subtree {
            true => Err(format!("database `{name}` holds another one")),
            false => visit(name, key, value),
        })?;
    }
    if at.is_none() && newest(&file)?.txn != meta.txn {
        return Err("a commit came in between".into());
    }
    Ok(())
}

fn open(path: &Path) -> Result<File, String> {
    File::open(path).map_err(|e| format!("its data file cannot be opened: {e}"))
}

fn pages_in(file: &File, page_size: usize) -> Result<u64, String> {
    Ok(file.metadata().map_err(unreadable)?.len() / page_size as u64)
}

fn unreadable(e: io::Error) -> String {
    match e.kind() {
        io::ErrorKind::UnexpectedEof => "its data file is cut short".into(),
        _ => format!("its data file cannot be read: {e}"),
    }
}

/// A header page: the state as of one transaction. The two of them take turns.
struct Meta {
    page_size: usize,
    free: Tree,
    main: Tree,
    last_page: u64,
    txn: u64,
}

fn newest(file: &File) -> Result<Meta, String> {
    let [a, b] = metas(file)?;
    Ok(if b.txn > a.txn { b } else { a })
}

fn metas(file: &File) -> Result<[Meta; 2], String> {
    let first = meta(file, 0)?;
    let second = meta(file, first.page_size as u64)?;
    // Transactions take turns: even ones in the first header, odd ones in the second. A damaged number would bring
    // an old state back.
    let turns = first.txn.abs_diff(second.txn) == 1 && first.txn.is_multiple_of(2);
    let fresh = (first.txn, second.txn) == (0, 0);
    if second.page_size != first.page_size || !(turns || fresh) {
        return Err("the two headers of its data file disagree".into());
    }
    Ok([first, second])
}

fn meta(file: &File, offset: u64) -> Result<Meta, String> {
    let mut page = [0; META_LEN];
    file.read_exact_at(&mut page, offset).map_err(unreadable)?;
    let body = &page[HEADER..];
    let free = Tree::read(&body[24..24 + TREE_LEN]);
    let page_size = free.pad as usize;
    let sound = u32_at(body, 0) == MAGIC && u32_at(body, 4) == VERSION;
    if !sound || !page_size.is_power_of_two() || !(512..=65536).contains(&page_size) {
        return Err("the header of its data file is broken".into());
    }
    let main = Tree::read(&body[24 + TREE_LEN..24 + 2 * TREE_LEN]);
    Ok(Meta { page_size, free, main, last_page: u64_at(body, 120), txn: u64_at(body, 128) })
}

/// The record of one B-tree.
#[derive(Clone, Copy)]
struct Tree {
    pad: u32,
    depth: u16,
    entries: u64,
    root: u64,
}

impl Tree {
    fn read(bytes: &[u8]) -> Tree {
        Tree { pad: u32_at(bytes, 0), depth: u16_at(bytes, 6), entries: u64_at(bytes, 32), root: u64_at(bytes, 40) }
    }
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from(u16_at(bytes, at)) | u32::from(u16_at(bytes, at + 2)) << 16
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}

/// Takes each leaf entry: key, value, whether the value is the record of a tree.
type Leaf<'v> = &'v mut dyn FnMut(&[u8], &[u8], bool) -> Result<(), String>;

struct Walker<'f> {
    file: &'f File,
    page_size: usize,
    /// Pages that may be in use; the file has at least these.
    pages: u64,
    /// One bit a page: no page belongs to two places.
    seen: Vec<u64>,
}

/// What holds for all keys below a branch: `low <= key < high`.
#[derive(Clone, Default)]
struct Bounds {
    low: Vec<u8>,
    high: Option<Vec<u8>>,
}

impl Walker<'_> {
    fn tree(&mut self, tree: &Tree, ordered: bool, visit: Leaf<'_>) -> Result<(), String> {
        if tree.root == NO_PAGE {
            return if tree.entries == 0 { Ok(()) } else { Err("a database has entries and no pages".into()) };
        }
        if tree.depth == 0 || tree.depth > DEPTH_MAX {
            return Err("a database has an impossible depth".into());
        }
        let mut entries = 0;
        let bounds = ordered.then(Bounds::default);
        self.page(tree.root, tree.depth, bounds.as_ref(), &mut |key, value, subtree| {
            entries += 1;
            visit(key, value, subtree)
        })?;
        if entries != tree.entries {
            return Err(format!("a database has {entries} entries and should have {}", tree.entries));
        }
        Ok(())
    }

    /// Walks the page `number`, which is `levels` above the bottom, itself counted.
    fn page(&mut self, number: u64, levels: u16, bounds: Option<&Bounds>, visit: Leaf<'_>) -> Result<(), String> {
        self.mark(number)?;
        let page = self.read(number, 1)?;
        let kind = if levels == 1 { LEAF } else { BRANCH };
        if u64_at(&page, 0) != number || u16_at(&page, 10) & (BRANCH | LEAF | OVERFLOW) != kind {
            return Err(format!("page {number} is not what it should be"));
        }
        let nodes = nodes(&page).ok_or_else(|| format!("page {number} is broken"))?;
        if let Some(bounds) = bounds {
            check_order(&nodes, bounds, kind).ok_or_else(|| format!("keys of page {number} are out of order"))?;
        }
        for (i, node) in nodes.iter().enumerate() {
            if kind == BRANCH {
                let below = bounds.map(|b| Bounds {
                    low: if i == 0 { b.low.clone() } else { node.key.to_vec() },
                    high: nodes.get(i + 1).map(|n| n.key.to_vec()).or_else(|| b.high.clone()),
                });
                self.page(node.child(), levels - 1, below.as_ref(), visit)?;
            } else if node.flags & BIG != 0 {
                visit(node.key, &self.overflow(node)?, false)?;
            } else {
                visit(node.key, node.data, node.flags & SUBTREE != 0)?;
            }
        }
        Ok(())
    }

    /// The value of a node that lies in pages of its own.
    fn overflow(&mut self, node: &Node<'_>) -> Result<Vec<u8>, String> {
        let number = u64_at(node.data, 0);
        let count = (HEADER + node.size).div_ceil(self.page_size) as u64;
        for page in number..number.saturating_add(count) {
            self.mark(page)?;
        }
        let mut pages = self.read(number, count)?;
        let sound = u64_at(&pages, 0) == number && u16_at(&pages, 10) & OVERFLOW != 0;
        if !sound || u64::from(u32_at(&pages, 12)) < count {
            return Err(format!("page {number} is not what it should be"));
        }
        pages.truncate(HEADER + node.size);
        pages.drain(..HEADER);
        Ok(pages)
    }

    fn mark(&mut self, number: u64) -> Result<(), String> {
        if number >= self.pages {
            return Err(format!("page {number} lies beyond the end of its data file"));
        }
        let (word, bit) = (number as usize / 64, 1 << (number % 64));
        if self.seen[word] & bit != 0 {
            return Err(format!("page {number} is used twice"));
        }
        self.seen[word] |= bit;
        Ok(())
    }

    fn read(&self, number: u64, count: u64) -> Result<Vec<u8>, String> {
        let mut bytes = vec![0; count as usize * self.page_size];
        self.file.read_exact_at(&mut bytes, number * self.page_size as u64).map_err(unreadable)?;
        Ok(bytes)
    }
}

struct Node<'p> {
    flags: u16,
    /// Length of the value; in a branch its meaning is the child's number.
    size: usize,
    key: &'p [u8],
    /// The value, or the number of its first page.
    data: &'p [u8],
    low: u32,
}

impl Node<'_> {
    fn child(&self) -> u64 {
        u64::from(self.low) | u64::from(self.flags) << 32
    }
}

/// The nodes of a page; `None` when one lies outside it.
fn nodes(page: &[u8]) -> Option<Vec<Node<'_>>> {
    let branch = u16_at(page, 10) & BRANCH != 0;
    let (lower, upper) = (usize::from(u16_at(page, 12)), usize::from(u16_at(page, 14)));
    if lower <= HEADER || lower % 2 != 0 || lower > upper || upper > page.len() {
        return None;
    }
    let node = |i: usize| {
        let at = usize::from(u16_at(page, HEADER + 2 * i));
        let header = page.get(at..at + NODE_HEADER).filter(|_| at >= upper)?;
        let (low, flags, key_len) = (u32_at(header, 0), u16_at(header, 4), usize::from(u16_at(header, 6)));
        let key = page.get(at + NODE_HEADER..at + NODE_HEADER + key_len)?;
        let inline = match flags & BIG {
            _ if branch => 0,
            0 => low as usize,
            _ => 8,
        };
        let start = at + NODE_HEADER + key_len;
        Some(Node { flags, size: low as usize, key, data: page.get(start..start + inline)?, low })
    };
    (0..(lower - HEADER) / 2).map(node).collect()
}

/// Keys rise strictly within their bounds. The first key of a branch stands for everything below the second.
fn check_order(nodes: &[Node<'_>], bounds: &Bounds, kind: u16) -> Option<()> {
    let nodes = if kind == BRANCH { &nodes[1..] } else { nodes };
    let rising = nodes.windows(2).all(|pair| pair[0].key < pair[1].key);
    let above = nodes.first().is_none_or(|n| n.key >= &bounds.low[..]);
    let below = nodes.last().is_none_or(|n| bounds.high.as_ref().is_none_or(|high| n.key < &high[..]));
    (rising && above && below).then_some(())
}
