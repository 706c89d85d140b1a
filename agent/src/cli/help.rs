//! The text of `skiff --help`.

/// What `skiff --help` prints.
pub const HELP: &str = "\
skiff: brings container images to this device through an accelerator

usage:
  skiff pull IMAGE... [PULL OPTION...]              pull images, or update them
  skiff deploy NAME [PULL OPTION...]                deploy an application, all or none
                                                    of its images, or update it
  skiff rollback NAME | IMAGE                       go back to what was deployed or pulled
                                                    before, without the network; or forward
                                                    again
  skiff ls                                          list images
  skiff rm IMAGE...                                 remove images
  skiff verify [IMAGE...] [--repair]                compare images, or all, with what they
                                                    should be, file by file; mend them
  skiff mount IMAGE DIR                             mount an image's tree, read-only
  skiff trace CONTAINER | --image IMAGE... | --application NAME
                                                    record which files of images are used
                                                    while their containers start
  skiff status                                      list what is still to come, and what
                                                    unfinished pulls left
  skiff gc                                          remove what they left
  skiff daemon [--class NAME] [--limit-rate N]      pull so that images can be started before
                                                    they are all there, and bring the rest
  skiff holder [--socket PATH]                      keep the daemon's files open over its
                                                    restarts; it starts one by itself

pull options:
  --dry-run           only say how many bytes it would be
  --max-bytes N       refuse to receive more
  --no-full-download  refuse what does not build on what is on the device
  --limit-rate N      receive no more than N bytes per second
  --tries N           give up after N tries in a row that bring nothing [no limit, once an
                      accelerator has answered]
  --max-seconds N     give up after N seconds
  --no-devices        refuse images that have devices (env SKIFF_NO_DEVICES=1)
  --lazy HOW          start before it is all there: auto (where a daemon runs and the
                      file system has leases), require (or fail), never [auto]
  --wait              return only when everything is there

trace options:
  --image IMAGE       the next container of this image
  --application NAME  of the images that are deployed of it; with a container or --image: the
                      application that the trace is reported for
  --class NAME        the class of devices that this one belongs to
  --until-port N      end when a container listens on port N, or after --for
  --for SECONDS       so long after the first start [30; 300 with --until-port]
  --print             print the files instead of telling the accelerator

verify options (and --max-bytes, --limit-rate, --tries and --max-seconds):
  --repair            fetch what is damaged or missing, and mend it where it lies

connection options, of pull, deploy, verify, trace and daemon:
  --ca FILE           over https://, trust these CAs (PEM) instead of the system's (env SKIFF_CA)
  --pin KEY           trust this key (sha256/BASE64 or hexadecimal, of its SubjectPublicKeyInfo)
                      whatever the certificate's name and dates are, for devices without a clock;
                      any of several; with --ca, besides (env SKIFF_PIN, with spaces)
  --token-file FILE   show the bearer token in it, over https:// or to this machine itself only
                      (env SKIFF_TOKEN_FILE)
  --cert FILE, --key FILE
                      show this client certificate (PEM; env SKIFF_CERT, SKIFF_KEY)
  --tree-key KEY      take only what this Ed25519 key of the accelerator's (--sign-key there) has
                      signed, whatever the bytes come through: a file with public keys (PEM), or
                      one in Base64 or hexadecimal; any of several (env SKIFF_TREE_KEY, with spaces)
                      Proxies are those of http_proxy, https_proxy and no_proxy, as for curl.
                      Where a daemon runs it does the fetching, with its own connection options:
                      give them to skiff daemon. A pull that has others is refused.

options:
  --accelerator URL   address of the accelerator, http:// or https:// (env SKIFF_ACCELERATOR)
  --containerd PATH   containerd's socket (env CONTAINERD_ADDRESS)
                      [/run/containerd/containerd.sock]
  --namespace NAME    containerd's namespace (env CONTAINERD_NAMESPACE) [default]
  --snapshotter NAME  containerd's snapshotter, which must be an overlayfs one [overlayfs]
  --root DIR          use a plain directory instead of containerd
  --state DIR         skiff's own files (env SKIFF_STATE) [/var/lib/skiff, or DIR/skiff]
  --json              JSON lines on standard output
  -h, --help          this text
  -V, --version       the version

an application's NAME (rollback: what has no '/', ':' or '@' is one): at most 64 letters, digits, '.', '_' and '-'; the first of
them a letter or digit

exit codes:
  0  done
  1  an error without a code of its own
  2  the command line is wrong
  3  the image or application is unknown or has nothing for this device; nothing to
     go back to
  4  the accelerator can't be reached, or the connection broke
  5  the accelerator or its registry can't do what was asked
  6  the stream or an image is damaged
  7  containerd does not answer or refuses
  8  a disk is full, read-only, or fails
  9  another skiff is at work
 10  it can't be started before it is all there (--lazy=require), or daemon or holder
     can't work
 11  skiff status: containers may have read zeros
 12  the accelerator is not trusted: its certificate or key is not right
 13  the accelerator refuses this device: token, client certificate, or an image that
     it may not read
 14  what came is not signed by a key that is trusted (--tree-key)
 15  skiff verify: something is not as it should be
 16  skiff verify --repair: something was not, and all of it is mended
";
