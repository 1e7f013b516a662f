/* main.c: the program's door. */
int main(void)
{
    return 0;
}
