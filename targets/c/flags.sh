# Sourced by what builds C: the compiler's flags. What later compilers take for an
# error is one with each. Their new warnings are none, or a suite's next compiler
# would end every build; the tests have no warning with theirs.
flags="-std=gnu11 -O2 -g -Wall -Wextra -Werror=implicit -Werror=incompatible-pointer-types -Werror=int-conversion -Werror=return-type -pthread"
