//! The text of `skiff-accelerator --help`.

/// What `skiff-accelerator --help` prints.
pub const HELP: &str = "\
skiff-accelerator: deltas of container images, beside an OCI registry

Usage:
  skiff-accelerator serve  --registry REGISTRY --data DIR [--listen ADDR:PORT]
                           [--database URL] [--cache-bytes N] [--level N] [--zstd-level N]
                           [--idle-zstd-level N]
                           [--platform OS/ARCH[/VARIANT]]... [--poll SECONDS] [--no-traces]
                           [--tls-cert FILE --tls-key FILE [--tls-client-ca FILE]] [--policy FILE]
                           [--sign-key FILE]...
  skiff-accelerator ingest --registry REGISTRY --data DIR [--platform OS/ARCH[/VARIANT]]
                           [--database URL] [--cache-bytes N] IMAGE...
  skiff-accelerator app    --data DIR [--database URL] set NAME IMAGE... | set NAME --compose FILE
                                                       | ls | rm NAME
  skiff-accelerator hot    --data DIR [--database URL] set IMAGE FILE | show IMAGE | rm IMAGE
                           [--class CLASS], with --app NAME instead of IMAGE for an application
  skiff-accelerator graph  --data DIR [--database URL] [--json]

Commands:
  serve   Answer devices. Prints one line, `listening on ADDR:PORT`, once it does. Images that a
          registry says were pushed (notifications to /v1/notify) are read ahead of time.
  ingest  Read images ahead of time. Prints a line for each: reference, manifest, entries,
          content bytes, seconds.
  app     Say which images an application has, for `skiff deploy NAME`: 1 to 32 references, or
          those of a compose file's services. List applications, forget one. Works beside `serve`.
  hot     Say what programs of an image use while they start: FILE has a path in each line, in the order
          of first use. It counts where devices have reported nothing; what they have is shown, too, a
          line for each path: `reported` or `set`, platform, class, repository, path. `rm` forgets both.
          Sets are of an image's repository, whatever its tag.
  graph   Print the states that devices asked for and the deltas between them, for Graphviz or
          as JSON. `serve` has the same at /v1/graph.

Options:
  --registry REGISTRY  http://HOST[:PORT], https://HOST[:PORT], or oci:DIR (DIR/REPOSITORY/oci-layout)
  --data DIR           where metadata and caches are kept; each `serve` needs its own, and the other commands
                       work beside it
  --database URL       postgres://USER[:PASSWORD]@HOST[:PORT]/DATABASE: metadata are kept in this
                       PostgreSQL database (without TLS), which several accelerators may share, and
                       one of them reads a layer for all; default SQLite, DIR/metadata.db
  --listen ADDR:PORT   default 127.0.0.1:7780; port 0 takes any free port
  --platform PLATFORM  default linux/ and this machine's architecture. `serve` takes several, and reads
                       ahead for these; by default for those that devices asked for since the start,
                       and before the first for this machine's
  --poll SECONDS       look every so many seconds, at least 10, whether tags have moved that devices
                       asked for or applications name, for registries that send no notifications
  --tls-cert FILE, --tls-key FILE
                       `serve`: speak TLS 1.3, with this certificate (and those that lead to its CA) and
                       its key, in PEM; read again when they change
  --tls-client-ca FILE `serve`: take client certificates of these CAs; without --policy, want one
  --policy FILE        `serve`: only these may read, and only this; read again when it changes. A line is
                       `token SHA256 REPOSITORY...`, with the SHA-256 of a bearer token, or
                       `certificate NAME REPOSITORY...`, with a DNS name of a client certificate. In a
                       repository `*` is any part of a component, `**` at the end all that follows
  --sign-key FILE      `serve`: sign tables of contents by this Ed25519 key (PKCS#8 in PEM, as `openssl genpkey
                       -algorithm ed25519` makes it), for devices that have its public key (--tree-key);
                       read again when it changes. Several, at most 4: by each
  --no-traces          `serve`: refuse what devices report of what was opened (POST /v1/trace)
  --class CLASS        `hot`: for devices of this class only
  --cache-bytes N      most bytes of cached layers and packs, each; default 8 GiB
  --level N            how hard packs are compressed for agents without zstd, 1 to 12; default 6
  --zstd-level N       how hard for the others, 1 to 19; default 7
  --idle-zstd-level N  how hard these packs are compressed again, on one processor, once no pack was made
                       for 10 seconds, 1 to 19, or 0 for not at all; default 19
  -h, --help           this text
  -V, --version        the version

Environment:
  PGPASSWORD           the password for --database, which other users can't see there as they can
                       in the command line; ~/.pgpass is read, too
  SKIFF_NOTIFY_TOKEN   `serve`: notifications have to show it, as `Authorization: Bearer TOKEN`
  SKIFF_LOG            error, warn, info (default), debug or trace; the log goes to stderr

Exit codes:
  0  done
  1  something failed that is not listed below
  2  the command line is wrong, or a file that it names
  3  the data directory, the database or the address can't be used
  4  an image is not found, or has nothing for the platform
  5  the registry does not answer or refuses access
  6  an image is damaged or can't be unpacked
";
