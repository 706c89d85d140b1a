/* A static program, to be executed while it is cold. */
#include <unistd.h>
int main(void)
{
	return write(1, "hello\n", 6) == 6 ? 0 : 1;
}
