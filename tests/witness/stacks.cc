// Calls of operator new from templates, constructors and a lambda.

#include <functional>
#include <map>
#include <string>
#include <vector>

struct Node {
    std::string name;
    std::vector<int> values;
};

__attribute__((noinline)) Node *make(int i) {
    Node *node = new Node;
    node->name = std::string(40 + i, 'x');
    node->values.push_back(i);
    node->values.push_back(2);
    return node;
}

int main() {
    std::map<int, Node *> all;
    std::function<void(int)> add = [&](int i) { all[i] = make(i); };
    for (int i = 0; i < 4; i++)
        add(i);
    for (auto &each : all)
        delete each.second;
    return 0;
}
