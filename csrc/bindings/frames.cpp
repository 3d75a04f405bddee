// Python's view of the input pipeline. numpy has no bfloat16, so tensors come as addresses that
// semore_fast/ops_cpp.py has checked; here the GIL is released and nothing else.
#include "frames.hpp"

#include <pybind11/pybind11.h>

#include <cstdint>
#include <stdexcept>
#include <string>

namespace semore {

namespace {

namespace py = pybind11;
using Address = std::uintptr_t;

template <class T>
T* at(Address address) {
    return reinterpret_cast<T*>(address);
}

template <class T>
void run(const FrameBatch& in, Address stack, Address residual, Address masked, float offset, bool absolute,
         int threads) {
    const EncoderInputs<T> out{at<T>(stack), at<T>(residual), at<T>(masked)};
    const py::gil_scoped_release release;
    encoder_inputs(in, out, offset, absolute, threads, usable_kernels<T>(streams(in, out)).back());
}

void make_inputs(std::int64_t batch, std::int64_t stack_frames, std::int64_t height, std::int64_t width,
                 std::int64_t store_frames, Address frames, Address masks, Address centre, Address slots,
                 Address shift, Address stack, Address residual, Address masked, float offset, bool absolute,
                 bool bfloat16, int threads) {
    if (batch < 0 || stack_frames < 0 || height < 0 || width < 0)
        throw std::invalid_argument("sizes must not be negative");
    if (threads < 1) throw std::invalid_argument("threads must be at least 1, is " + std::to_string(threads));
    if (masked && !masks) throw std::invalid_argument("masked inputs need a store with masks");
    const FrameBatch in{batch,
                        stack_frames,
                        height,
                        width,
                        store_frames,
                        at<const std::uint8_t>(frames),
                        at<const std::uint8_t>(masks),
                        at<const std::int64_t>(slots),
                        at<const std::int64_t>(shift),
                        at<const std::uint8_t>(centre)};
    if (bfloat16)
        run<std::uint16_t>(in, stack, residual, masked, offset, absolute, threads);
    else
        run<float>(in, stack, residual, masked, offset, absolute, threads);
}

}  // namespace

void bind_frames(py::module_& module) {
    using py::arg;
    module.def("encoder_inputs", &make_inputs, py::kw_only(), arg("batch"), arg("stack_frames"), arg("height"),
               arg("width"), arg("store_frames"), arg("frames"), arg("masks"), arg("centre"), arg("slots"),
               arg("shift"), arg("stack"), arg("residual"), arg("masked"), arg("offset"), arg("absolute"),
               arg("bfloat16"), arg("threads"),
               "Fill the encoders' inputs, channels last, at the given addresses; 0 is none. Slots are checked, the "
               "rest is not: call semore_fast.ops_cpp.encoder_inputs.");
    module.def("frames_instruction_set", [] { return usable_kernels<float>(false).back().name; },
               "The instruction set this processor runs encoder_inputs with.");
}

}  // namespace semore
