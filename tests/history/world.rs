//! A log of date partitions that grows, is mended, packed and sealed as chance has it.

use crate::definitions::definitions;
use crate::support::{Dir, Output};
use sha2::{Digest, Sha256};
use std::fs;
use std::path::PathBuf;

pub const DAY: i64 = 86_400_000;
const MINUTE: i64 = 60_000;
/// The first of March 2024, a leap year, in UTC.
const START: i64 = 1_709_251_200_000;

/// Numbers that are the same for the same seed.
pub struct Chance(u64);

impl Chance {
    pub fn new(seed: u64) -> Chance {
        Chance(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5851_f42d_4c95_7f2d)
    }

    /// A number below `n`.
    pub fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n.max(1)
    }

    pub fn percent(&mut self, p: u64) -> bool {
        self.below(100) < p
    }

    pub fn one<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len() as u64) as usize]
    }
}

pub struct World {
    pub dir: Dir,
    pub chance: Chance,
    /// Days there are partitions of, by number; a gap may come to be.
    pub days: Vec<i64>,
    ids: Vec<(String, String)>,
    fresh: u64,
    files: u64,
}

impl World {
    pub fn new(seed: u64) -> World {
        let world =
            World { dir: Dir::new(), chance: Chance::new(seed), days: Vec::new(), ids: Vec::new(), fresh: 0, files: 0 };
        world.dir.write("adprof.toml", &definitions()[0]);
        world
    }

    /// The name of a day: `2024-03-01` and on.
    pub fn name(day: i64) -> String {
        let civil = jiff::Timestamp::from_millisecond(START + day * DAY).expect("in range");
        civil.to_zoned(jiff::tz::TimeZone::UTC).date().to_string()
    }

    pub fn end(day: i64) -> i64 {
        START + (day + 1) * DAY - 1
    }

    pub fn partition(&self, day: i64) -> PathBuf {
        self.dir.file(&format!("log/dt={}", World::name(day)))
    }

    /// A line received on a day: on time, late, ahead of midnight, days ahead, a duplicate with another body, or no event.
    fn line(&mut self, day: i64) -> String {
        let chance = &mut self.chance;
        if chance.percent(4) {
            return (*chance.one(&["{\"eventId\":1}\n", "nothing\n", "\n", "{\"eventId\":\"x\",\"userId\":\"u\"}\n"]))
                .into();
        }
        let in_day =
            if chance.percent(30) { DAY - 1 - chance.below(180_000) as i64 } else { chance.below(DAY as u64) as i64 };
        let received = START + day * DAY + in_day;
        let (timestamp, stamped) = match chance.below(100) {
            ..65 => (received - chance.below(60 * MINUTE as u64) as i64, true),
            65..82 => (received - chance.below(10 * DAY as u64) as i64, true),
            82..95 => (received + chance.below(5 * MINUTE as u64) as i64, true),
            _ => (received + chance.below(3 * DAY as u64) as i64, false),
        };
        let (user, id) = if chance.percent(30) && !self.ids.is_empty() {
            chance.one(&self.ids).clone()
        } else {
            self.fresh += 1;
            let user =
                if chance.percent(20) { format!("once-{}", self.fresh) } else { format!("u-{}", chance.below(14)) };
            (user, format!("e-{}", self.fresh))
        };
        let mut line = format!("{{\"eventId\":\"{id}\",\"userId\":\"{user}\",\"timestamp\":{timestamp}");
        line += &format!(",\"eventType\":\"{}\"", chance.one(&["click", "click", "purchase", "view"]));
        if chance.percent(60) {
            line += &format!(",\"amount\":{}.{:02}", chance.below(90), chance.below(100));
        }
        if chance.percent(60) {
            line += &format!(",\"category\":\"{}\"", chance.one(&["sport", "caf\\u00e9", "books", "toys"]));
        }
        if chance.percent(8) {
            line += ",\"tenantId\":\"t\"";
        }
        if chance.percent(60) {
            line += &format!(",\"itemId\":\"{}-{}\"", chance.one(&["i", "i", "I"]), chance.below(9));
        }
        if chance.percent(50) {
            let labels: Vec<&str> =
                (0..chance.below(4)).map(|_| *chance.one(&["\"new\"", "\"a:b\"", "7", "null", "\"50%\""])).collect();
            line += &format!(",\"properties\":{{\"duration\":{},\"tags\":[{}]}}", chance.below(500), labels.join(","));
        }
        if stamped {
            line += &format!(",\"receivedAt\":{received}");
        }
        self.ids.push((user, id));
        line + "}\n"
    }

    pub fn lines(&mut self, day: i64, n: u64) -> String {
        (0..n).map(|_| self.line(day)).collect()
    }

    /// A new file in a day's partition, which may be new, too. It comes first, in the middle, or last by its name.
    pub fn add_file(&mut self, day: i64, n: u64) {
        let text = self.lines(day, n);
        self.files += 1;
        let writer = *self.chance.one(&["a", "m", "z"]);
        let name = format!("log/dt={}/{writer}-{:05}.ndjson", World::name(day), self.files);
        self.dir.write(&name, text);
        if !self.days.contains(&day) {
            self.days.push(day);
            self.days.sort_unstable();
        }
    }

    /// The data files of a day.
    pub fn files(&self, day: i64) -> Vec<PathBuf> {
        let mut files: Vec<PathBuf> = fs::read_dir(self.partition(day)).map_or(Vec::new(), |entries| {
            entries.map(|entry| entry.expect("an entry").path()).filter(|path| !path.ends_with("_SUCCESS")).collect()
        });
        files.sort();
        files
    }

    /// Something happens to the log that nobody tells the roll-ups of. What it was.
    pub fn change(&mut self) -> String {
        let day = *self.chance.one(&self.days.clone());
        let files = self.files(day);
        let file = self.chance.one(&files).clone();
        let what = self.chance.below(7);
        match what {
            0 => {
                let n = 1 + self.chance.below(5);
                self.add_file(day, n);
            }
            1 if !packed(&file) => {
                let more = self.lines(day, 3);
                fs::write(&file, fs::read_to_string(&file).expect("text") + &more).expect("written");
            }
            2 if files.len() > 1 => fs::remove_file(&file).expect("removed"),
            3 if !packed(&file) => {
                // In place and of the same length, with the time of change put back.
                let at = fs::metadata(&file).expect("there").modified().expect("known");
                let text = fs::read_to_string(&file).expect("text").replace("click", "blick");
                fs::write(&file, text).expect("written");
                fs::File::options().write(true).open(&file).expect("open").set_modified(at).expect("set");
            }
            4 if self.days.len() > 3 => {
                fs::remove_dir_all(self.partition(day)).expect("removed");
                self.days.retain(|other| *other != day);
            }
            5 => pack(&file),
            _ => {
                // A day that nobody has heard of so far, in a gap or at the end.
                let new = (0..).find(|day| !self.days.contains(day)).expect("there is one");
                self.add_file(new, 12);
            }
        }
        format!("change {what} of {}", World::name(day))
    }

    /// Declares a day as it is to be whole.
    pub fn seal(&self, day: i64) {
        let entry = |path: &PathBuf| {
            let bytes = unpacked(path);
            let hash: String = Sha256::digest(&bytes).iter().map(|b| format!("{b:02x}")).collect();
            let name = path.file_name().expect("a name").to_string_lossy().replace(".zst", "");
            let lines = bytes.iter().filter(|b| **b == b'\n').count();
            format!("{{\"name\":\"{name}\",\"bytes\":{},\"lines\":{lines},\"sha256\":\"{hash}\"}}", bytes.len())
        };
        let files: Vec<String> = self.files(day).iter().map(entry).collect();
        let name = World::name(day);
        let seal = format!("{{\"version\":1,\"day\":\"{name}\",\"files\":[{}]}}\n", files.join(","));
        fs::write(self.partition(day).join("_SUCCESS"), seal).expect("written");
    }

    /// Runs with and without roll-ups and compares every byte, those of the manifest, too: counts, and the first and the
    /// last event time.
    pub fn nightly(&self, flags: &str, told: &str) -> Output {
        let run = |name: &str, more: &str| {
            let files = [format!("{name}.ndjson"), format!("{name}.ndjson.manifest.json")];
            files.iter().for_each(|file| drop(fs::remove_file(self.dir.file(file))));
            let args = format!("batch --log log {flags} -o {name}.ndjson --manifest{more}");
            let output = self.dir.adprof(&args).output();
            (output, files.map(|file| fs::read_to_string(self.dir.file(&file)).ok()))
        };
        let (want, wanted) = run("whole", "");
        let (got, given) = run("rolled", " --rollups rollups");
        assert_eq!(got.code, want.code, "{told}: {flags}\n{}\n{}", got.stderr, want.stderr);
        assert!([0, 65].contains(&got.code), "{told}: {flags}\n{}", got.stderr);
        assert_eq!(wanted.each_ref().map(Option::is_some), [got.code == 0; 2], "{told}: {flags}");
        for (got_text, want_text) in given.iter().flatten().zip(wanted.iter().flatten()) {
            let differs = got_text.lines().zip(want_text.lines()).find(|(got, want)| got != want);
            assert!(got_text == want_text, "{told}: {flags}: {differs:?}\n{}\n{}", got.stderr, want.stderr);
        }
        assert_eq!(given.each_ref().map(Option::is_some), [got.code == 0; 2], "{told}: {flags}");
        // What became of the lines is the same as well.
        let events = |output: &Output| {
            let line = output.stderr.lines().find(|line| line.contains(" as of ")).expect("a summary").to_owned();
            // Only the full scan has rows that may have no room.
            let parts = line.split(" in ").next().expect("a part").split("; ");
            parts.filter(|part| !part.ends_with("by way of a file")).collect::<Vec<_>>().join("; ")
        };
        assert_eq!(events(&got), events(&want), "{told}: {flags}");
        got
    }
}

fn packed(path: &std::path::Path) -> bool {
    path.extension().is_some_and(|end| end == "zst")
}

fn unpacked(path: &PathBuf) -> Vec<u8> {
    let bytes = fs::read(path).expect("read");
    if packed(path) { zstd::stream::decode_all(&bytes[..]).expect("zstd") } else { bytes }
}

/// Replaces a file by its packed twin.
pub fn pack(path: &PathBuf) {
    if !packed(path) {
        let bytes = zstd::stream::encode_all(&unpacked(path)[..], 1).expect("in memory");
        fs::write(format!("{}.zst", path.display()), bytes).expect("written");
        fs::remove_file(path).expect("removed");
    }
}
