/* A shared library, to be mapped while it is cold. */
int magic(void)
{
	return 42;
}
