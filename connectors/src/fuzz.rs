//! What the fuzz targets call: each parser that we wrote, fed with any bytes.
//!
//! A function panics if a parser does, or if what it says can't be: a split file has other lines than the whole one, a copy of JSON is
//! no JSON. `fuzz/` runs them under a fuzzer; the tests here run them on mutations of good inputs, everywhere and for a short while.

pub use crate::file::fuzz::{csv, glob, json, lines, manifest, parquet_pages, snappy};
pub use crate::table::fuzz::table_log;

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    /// A change of an input.
    #[derive(Debug, Clone)]
    enum Mutation {
        Set(usize, u8),
        Insert(usize, Vec<u8>),
        Remove(usize, usize),
        /// A stretch once more, somewhere else.
        Copy(usize, usize, usize),
        CutOff(usize),
    }

    impl Mutation {
        fn apply(&self, bytes: &mut Vec<u8>) {
            let len = bytes.len();
            let at = |place: usize| if len == 0 { 0 } else { place % (len + 1) };
            match self {
                Mutation::Set(place, byte) => {
                    if let Some(there) = bytes.get_mut(at(*place)) {
                        *there = *byte;
                    }
                }
                Mutation::Insert(place, more) => drop(bytes.splice(at(*place)..at(*place), more.iter().copied())),
                Mutation::Remove(place, count) => drop(bytes.drain(at(*place)..len.min(at(*place) + count))),
                Mutation::Copy(from, count, to) => {
                    let stretch = bytes[at(*from)..len.min(at(*from) + count)].to_vec();
                    drop(bytes.splice(at(*to)..at(*to), stretch));
                }
                Mutation::CutOff(place) => bytes.truncate(at(*place)),
            }
        }
    }

    /// Bytes that have a meaning to some parser.
    fn byte() -> impl Strategy<Value = u8> {
        let telling = b"\0\n\r\t \"\\'{}[](),:;.*?^!-+/#=0123456789abcdefeEINnutrsl\x7F\x80\xBF\xC3\xEF\xFF".to_vec();
        prop_oneof![3 => proptest::sample::select(telling), 1 => any::<u8>()]
    }

    fn mutation() -> impl Strategy<Value = Mutation> {
        let place = || 0_usize..4_096;
        prop_oneof![
            (place(), byte()).prop_map(|(at, byte)| Mutation::Set(at, byte)),
            (place(), vec(byte(), 1..8)).prop_map(|(at, bytes)| Mutation::Insert(at, bytes)),
            (place(), 1_usize..16).prop_map(|(at, count)| Mutation::Remove(at, count)),
            (place(), 1_usize..64, place()).prop_map(|(from, count, to)| Mutation::Copy(from, count, to)),
            place().prop_map(Mutation::CutOff),
        ]
    }

    /// A good input after some changes, or bytes of any kind.
    fn input(good: Vec<Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
        let mutated = (proptest::sample::select(good), vec(mutation(), 0..6)).prop_map(|(mut bytes, mutations)| {
            mutations.iter().for_each(|mutation| mutation.apply(&mut bytes));
            bytes
        });
        prop_oneof![4 => mutated, 1 => vec(byte(), 0..80)]
    }

    /// Good inputs of a target.
    fn seeds(target: &str) -> Vec<Vec<u8>> {
        let texts = |texts: &[&str]| texts.iter().map(|text| text.as_bytes().to_vec()).collect();
        match target {
            "csv" => crate::file::fuzz::csv_seeds(),
            "json" => crate::file::fuzz::json_seeds(),
            "lines" => texts(&["\x03\x02a\r\nb\n\nc", "\x01\x05\u{FEFF}one\ntwo\r\nthree"]),
            "snappy" => crate::file::fuzz::snappy_seeds(),
            "glob" => texts(&["part-*.{csv,json}\0part-1.csv", "[^a-c]?\\*{a,{b,c}}\0xy*b", "*a*b*c\0aabbcc"]),
            "manifest" => crate::file::fuzz::manifest_seeds(),
            "parquet_pages" => crate::file::fuzz::parquet_pages_seeds(),
            "table_log" => crate::table::fuzz::seeds(),
            other => panic!("no target is named {other}"),
        }
    }

    /// 1 500 inputs of each kind; more with `PROPTEST_CASES`.
    fn config() -> ProptestConfig {
        let asked = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok());
        ProptestConfig { cases: asked.unwrap_or(1_500), failure_persistence: None, ..ProptestConfig::default() }
    }

    proptest! {
        #![proptest_config(config())]

        #[test]
        fn any_csv(bytes in input(seeds("csv"))) {
            csv(&bytes);
        }

        #[test]
        fn any_json(bytes in input(seeds("json"))) {
            json(&bytes);
        }

        #[test]
        fn any_lines(bytes in input(seeds("lines"))) {
            lines(&bytes);
        }

        #[test]
        fn any_snappy_frame(bytes in input(seeds("snappy"))) {
            snappy(&bytes);
        }

        #[test]
        fn any_pattern(bytes in input(seeds("glob"))) {
            glob(&bytes);
        }

        #[test]
        fn any_manifest(bytes in input(seeds("manifest"))) {
            manifest(&bytes);
        }

        #[test]
        fn any_pages_of_parquet(bytes in input(seeds("parquet_pages"))) {
            parquet_pages(&bytes);
        }

        #[test]
        fn any_table_log(bytes in input(seeds("table_log"))) {
            table_log(&bytes);
        }
    }

    #[test]
    #[ignore = "writes good inputs of each target into fuzz/corpus, for a fuzzer to begin with"]
    fn corpus() {
        for target in ["csv", "json", "lines", "snappy", "glob", "manifest", "parquet_pages", "table_log"] {
            let directory = format!("{}/../fuzz/corpus/{target}", env!("CARGO_MANIFEST_DIR"));
            std::fs::create_dir_all(&directory).unwrap();
            for (number, seed) in seeds(target).into_iter().enumerate() {
                std::fs::write(format!("{directory}/seed-{number}"), seed).unwrap();
            }
        }
    }
}
