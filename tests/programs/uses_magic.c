/* A program that needs the library. */
#include <stdio.h>
int magic(void);
int main(void)
{
	printf("magic %d\n", magic());
	return 0;
}
