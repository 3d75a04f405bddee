// The Python module semore_fast._C. Bindings convert and release the GIL; logic lives in csrc/*.hpp and csrc/driving.
#include <pybind11/pybind11.h>

namespace semore {
void bind_replay(pybind11::module_& module);
void bind_driving(pybind11::module_& module);
void bind_director(pybind11::module_& module);
void bind_open_world(pybind11::module_& module);
void bind_frames(pybind11::module_& module);
void bind_similarity(pybind11::module_& module);
void bind_trunk(pybind11::module_& module);
}  // namespace semore

PYBIND11_MODULE(_C, module) {
    module.doc() = "C++ twins of semore's replay buffer and operations, and the embedded driving simulator.";
    semore::bind_replay(module);
    semore::bind_driving(module);
    semore::bind_director(module);
    semore::bind_open_world(module);
    semore::bind_frames(module);
    semore::bind_similarity(module);
    semore::bind_trunk(module);
}
