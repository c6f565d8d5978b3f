/* string_builder.c: a string that grows character by character. */
#include <stdlib.h>
#include <string.h>

#include "parameters.h"

struct string {
    char *text;
    size_t length, room;
};

static void append(struct string *string, char character)
{
    string->text = realloc(string->text, string->length + 2);
    string->text[string->length++] = character;
    string->text[string->length] = 0;
}

int main(void)
{
    struct string string = { 0 };
    for (int i = 0; i < LENGTH; i++)
        append(&string, 'a' + i % 26);
    int whole = strlen(string.text) == LENGTH;

    return whole ? 0 : 1;
}
