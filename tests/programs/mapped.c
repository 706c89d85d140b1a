/* Maps a file, reads nothing of it by read(2), and copies it to standard output. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	struct stat meta;
	int fd = argc == 2 ? open(argv[1], O_RDONLY) : -1;
	if (fd < 0 || fstat(fd, &meta) < 0) {
		perror("open");
		return 1;
	}
	char *bytes = mmap(0, meta.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (bytes == MAP_FAILED) {
		perror("mmap");
		return 1;
	}
	for (off_t at = 0; at < meta.st_size;) {
		ssize_t n = write(1, bytes + at, meta.st_size - at);
		if (n <= 0)
			return 1;
		at += n;
	}
	return 0;
}
