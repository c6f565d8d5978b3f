/* leak_hunt.c: a list of names that forgets some of its memory. */
#include <stdlib.h>
#include <string.h>

#include "parameters.h"

struct node {
    char *name;
    struct node *next;
};

static struct node *push(struct node *list, int number)
{
    struct node *node = malloc(sizeof *node); // @NODE
    node->name = malloc(24 + number % 8); // @NAME
    strcpy(node->name, "name");
    node->next = list;
    return node;
}

static void remove_every_third(struct node *list)
{
    for (int at = 1; list != NULL && list->next != NULL; at++) {
        if (at % 3 == 0) {
            struct node *gone = list->next;
            list->next = gone->next;
            (void)gone;
        }
        list = list->next;
        if (list == NULL)
            break;
    }
}

static void clear(struct node *list)
{
    while (list != NULL) {
        struct node *next = list->next;
        free(list);
        list = next;
    }
}

int main(void)
{
    struct node *list = NULL;
    for (int i = 0; i < COUNT; i++)
        list = push(list, i);
    remove_every_third(list);
    clear(list);
    return 0;
}
