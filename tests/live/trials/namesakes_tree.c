static int leaves;

static __attribute__((noinline)) int free(int more, int less)
{
    leaves += more;
    return less;
}

static __attribute__((noinline)) int realloc(int less, int more)
{
    leaves += more;
    return less;
}

int count_leaves(void)
{
    for (int i = 0; i < 10; i++)
        free(i, i);
    int less = realloc(10, 10);
    return less + leaves - 10;
}
