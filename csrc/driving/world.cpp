#include "world.hpp"

#include "engine.hpp"
#include "planner.hpp"
#include "rng.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <stdexcept>
#include <string>

namespace semore::driving {
namespace {

constexpr std::uint32_t kSaveMark = 0x53574c44;  // also tells the byte order
constexpr std::uint32_t kSaveVersion = 1;

struct SaveHeader {
    std::uint32_t mark = kSaveMark, version = kSaveVersion;
    std::uint64_t scenario = 0, checksum = 0;
};

std::uint64_t checksum_of(const WorldState& state) {
    static_assert(sizeof(WorldState) % 4 == 0, "summed in words");
    std::uint64_t sum = 0;
    const auto* bytes = reinterpret_cast<const unsigned char*>(&state);
    for (std::size_t at = 0; at < sizeof state; at += 4) {
        std::uint32_t word;
        std::memcpy(&word, bytes + at, sizeof word);
        sum = mix(sum ^ word);
    }
    return sum;
}

void check_save(bool good, const char* problem) {
    if (!good) throw std::invalid_argument(std::string("World.restore: ") + problem);
}

}  // namespace

World::World(const ScenarioConfig& config) : config_(config) {
    validate(config_);
    reset(0);
}

void World::reset(std::uint64_t seed) { start_episode(config_, state_, seed); }

TickResult World::tick(float steer, float drive) {
    if (!std::isfinite(steer)) throw std::invalid_argument("World.tick: steer is not finite");
    if (!std::isfinite(drive)) throw std::invalid_argument("World.tick: drive is not finite");
    if (end() != EndReason::running) throw std::logic_error("World.tick: the episode has ended, call reset first");
    return advance_world(config_, state_, {std::clamp(steer, -1.0f, 1.0f), std::clamp(drive, -1.0f, 1.0f)});
}

EgoState World::ego() const { return observe_ego(config_, state_.ego); }

Control World::privileged_action() const { return plan(config_, state_); }

std::vector<std::uint8_t> World::save() const {
    SaveHeader header;
    header.scenario = fingerprint(config_);
    header.checksum = checksum_of(state_);
    std::vector<std::uint8_t> data(sizeof header + sizeof state_);
    std::memcpy(data.data(), &header, sizeof header);
    std::memcpy(data.data() + sizeof header, &state_, sizeof state_);
    return data;
}

void World::restore(const std::uint8_t* data, std::size_t size) {
    SaveHeader header;
    WorldState state;
    check_save(data != nullptr && size == sizeof header + sizeof state, "the data has the wrong size");
    std::memcpy(&header, data, sizeof header);
    std::memcpy(&state, data + sizeof header, sizeof state);
    check_save(header.mark == kSaveMark, "the data is not a saved world");
    check_save(header.version == kSaveVersion, "the data is of another version");
    check_save(header.scenario == fingerprint(config_), "the data is of another scenario");
    check_save(header.checksum == checksum_of(state), "the data is damaged");
    state_ = state;
}

}  // namespace semore::driving
