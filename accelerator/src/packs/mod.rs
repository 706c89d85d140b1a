//! Packs: what is cut out of a plan's content space, encoded, cached and sent.
//!
//! ```text
//! space ──cut──▶ pieces ──read──▶ ≤ 1 MiB ──encode──▶ framed ──▶ cache ──ahead──▶ answer
//! ```
//!
//! Encoding is the accelerator's greatest use of processors. It runs on blocking threads, of which
//! no more encode at once than there are processors, whatever the number of answers. What is read for
//! packs and waits for an encoder is bounded, too, over all answers. An answer has at most
//! [`ahead::Ahead`]'s depth of packs in memory, and answers share equal ones.
//!
//! The level of compression, of deflate: what libdeflate makes of real images (Debian's nginx and MariaDB,
//! Node-RED from npm), in MB of packs of 1 MiB (`pack_bytes` of a pull from `serve --level N`), and MB of
//! content per second and core (x86-64, once, on a busy machine):
//!
//! | level | nginx, fresh | Node-RED, fresh | MariaDB, fresh | Node-RED, update | MB/s |
//! |---|---|---|---|---|---|
//! | gzip layers | 71.6 | 87.7 | 112.9 | | |
//! | `gzip -9` of the changed contents | | | | 34.45 | |
//! | 6 | 65.4 | 79.6 | 102.6 | 34.56 | 60-98 |
//! | 9 | 65.0 | 78.9 | 102.1 | 34.21 | 20-30 |
//! | 10 | | | | 33.27 | 11 |
//! | 12 | | | | 33.20 | 4-6 |
//!
//! Level 6 ([`encoding::Levels`]) keeps what is promised (a fresh pull's packs below its
//! gzip layers by more than the metadata stream, an update's within 1.05 of `gzip -9`) and is fast
//! enough for a fleet's first device on a fast link. A level from 10 on saves 3 to 4 % more for
//! eight times the work, which pays where links are slow and many devices share the packs.
//!
//! Of zstd: the images' distinct contents in the order of their layers, in packs of 1 MiB, each encoded alone; MB, and MB of content
//! per second of processor time (x86-64, once, on a very busy machine, so that only lines of one column compare):
//!
//! | | nginx, fresh | MB/s | Node-RED, fresh | MB/s |
//! |---|---|---|---|---|
//! | deflate 6 | 65.6 | 44 | 82.9 | 45 |
//! | zstd 3 | 63.1 | 77 | 78.5 | 79 |
//! | zstd 7 | 60.1 | 34 | 73.5 | 30 |
//! | zstd 9 | 59.8 | 22 | | |
//!
//! And of each eighth pack of nginx, each tenth or twentieth of Node-RED, as parts of what deflate 6 makes of the same packs:
//!
//! | zstd | 3 | 5 | 6 | 7 | 9 | 12 | 15 | 16 | 17 | 19 |
//! |---|---|---|---|---|---|---|---|---|---|---|
//! | nginx | 0.96 | 0.94 | 0.92 | 0.92 | 0.91 | | | 0.89 | | 0.82 |
//! | Node-RED | 0.92 | 0.84 | 0.82 | 0.82 | 0.86 | 0.86 | 0.85 | 0.77 | 0.76 | |
//! | MB/s | 74-97 | 43 | 32-39 | 39-42 | 21-27 | 11 | 5 | 3 | 3 | 2 |
//!
//! `pack_bytes` of pulls at level 7: nginx (`old`) 59.8 fresh and 10.44 to `new`, 65.4 and 10.99 in deflate; MariaDB (`old`) 92.5 fresh.
//!
//! (Node-RED's 5, 6, 7, 16 and 17 are of other packs than its 3, 9, 12 and 15.) Level 7 costs about what deflate 6 does and makes packs 8 to
//! 11 % shorter; up to 15 there is next to nothing more to be had for five times the work. From 16 on there is, for more than
//! ten times. Nobody waits for that: packs that devices got are compressed [`again`], at level 19, when nothing else is to be done
//! ([`crate::serve::idle`]). `--zstd-level 19` pays where links are slow and the first device can wait.
//!
//! Trained dictionaries do not pay, since small files share packs. With one of 110 KiB from the old version, which no device would have to fetch, packs of the
//! new version's files below 64 KiB took 11.36 MB where they took 11.44 (Node-RED, level 7) and 10.40 where they took 10.36 (level 19); of an ARM gateway's
//! image 1.622 for 1.619, and 1.473 for 1.455.

pub mod again;
pub mod ahead;
pub mod cut;
pub mod deflate;
pub mod encoding;
pub mod framed;
pub mod zstd;
