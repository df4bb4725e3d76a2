/* Preloaded into the agent in the control run: it believes that it syncs, as on a disk that lies. */
int fsync(int fd) { (void)fd; return 0; }
int fdatasync(int fd) { (void)fd; return 0; }
int sync_file_range(int fd, long long at, long long bytes, unsigned flags) { (void)fd; (void)at; (void)bytes; (void)flags; return 0; }
