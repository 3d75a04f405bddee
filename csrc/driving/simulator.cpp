#include "simulator.hpp"

#include "rules.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>

namespace semore::driving {

namespace {

constexpr std::uint64_t state_magic = 0x31534d5345564452ull;  // changes with the layout written by save()

void interleave(const std::uint8_t* chw, std::size_t pixels, std::uint8_t* hwc) {
    for (std::size_t i = 0; i < pixels; ++i)
        for (std::size_t channel = 0; channel < 3; ++channel) hwc[3 * i + channel] = chw[channel * pixels + i];
}

std::size_t pixels_of(const CameraConfig& camera) {
    return static_cast<std::size_t>(camera.image_size) * static_cast<std::size_t>(camera.image_size);
}

void write_ego(const World& world, float* row) {
    const EgoState ego = world.ego();
    row[0] = ego.speed_mps;
    row[1] = ego.lane_offset_m;
    row[2] = ego.heading_error_rad;
    row[3] = world.config().road.lane_width_m;
}

void write_actors(const World& world, float* rows) {
    ActorState nearby[actor_rows];
    const int count = world.nearby(nearby, actor_rows);
    std::fill(rows, rows + actor_rows * actor_columns, 0.0f);
    for (int i = 0; i < count; ++i) {
        const ActorState& actor = nearby[i];
        const float row[actor_columns] = {static_cast<float>(actor.cls), static_cast<float>(actor.instance_id),
                                          actor.dx_m, actor.dy_m, actor.vx_mps, actor.vy_mps,
                                          actor.length_m, actor.width_m};
        std::copy(row, row + actor_columns, rows + i * actor_columns);
    }
}

void check_actions(const float* actions, int num_envs, const bool* which) {
    for (int env = 0; env < num_envs; ++env)
        if (which[env] && !(std::isfinite(actions[2 * env]) && std::isfinite(actions[2 * env + 1])))
            throw std::invalid_argument("actions: row " + std::to_string(env) + " is not finite");
}

template <class T>
void append(std::vector<std::uint8_t>& bytes, const T& value) {
    const auto* raw = reinterpret_cast<const std::uint8_t*>(&value);
    bytes.insert(bytes.end(), raw, raw + sizeof value);
}

class Reader {
 public:
    Reader(const std::uint8_t* bytes, std::size_t size) : bytes_(bytes), left_(size) {}

    const std::uint8_t* take(std::size_t size) {
        if (size > left_) throw std::invalid_argument("state: too short, it was cut off");
        const std::uint8_t* taken = bytes_;
        bytes_ += size;
        left_ -= size;
        return taken;
    }

    std::uint64_t number() {
        std::uint64_t value;
        std::memcpy(&value, take(sizeof value), sizeof value);
        return value;
    }

    std::size_t left() const { return left_; }

 private:
    const std::uint8_t* bytes_;
    std::size_t left_;
};

}  // namespace

const char* name_of(EndReason end) {
    switch (end) {
        case EndReason::running: return "running";
        case EndReason::time_limit: return "time_limit";
        case EndReason::collisions: return "collisions";
        case EndReason::stuck: return "stuck";
        case EndReason::off_road: return "off_road";
    }
    throw std::invalid_argument("unknown EndReason");
}

ResetNeededError::ResetNeededError(int env, EndReason end)
    : std::logic_error("environment " + std::to_string(env) +
                       (end == EndReason::running ? std::string(" was never reset")
                                                  : std::string(" has ended (") + name_of(end) + ")") +
                       "; reset it before going on") {}

Simulator::Simulator(const SimulatorConfig& config) : config_(config), pool_(config.threads) {
    if (config.num_envs < 1)
        throw std::invalid_argument("num_envs must be at least 1, is " + std::to_string(config.num_envs));
    slots_.resize(static_cast<std::size_t>(config.num_envs));
    for (Slot& slot : slots_) slot.world = std::make_unique<World>(config.scenario);
    cameras_.reserve(static_cast<std::size_t>(config.threads));
    for (int worker = 0; worker < config.threads; ++worker) cameras_.emplace_back(config.camera);
    planes_.resize(static_cast<std::size_t>(config.threads));
    if (config.channels_last)
        for (std::vector<std::uint8_t>& plane : planes_) plane.resize(3 * pixels_of(config.camera));
}

void Simulator::for_each(const std::function<void(int env, int worker)>& body) {
    pool_.run(config_.num_envs, 1, [&](std::int64_t env, std::int64_t, int worker) { body(static_cast<int>(env), worker); });
}

std::unique_lock<std::mutex> Simulator::exclusive() const {
    std::unique_lock<std::mutex> lock(busy_, std::try_to_lock);
    if (!lock) throw std::runtime_error("this simulator is in use by another thread; give each thread its own");
    return lock;
}

void Simulator::check_running(const bool* which) const {
    for (int env = 0; env < config_.num_envs; ++env) {
        const Slot& slot = slots_[env];
        if (which[env] && (!slot.started || slot.world->end() != EndReason::running))
            throw ResetNeededError(env, slot.started ? slot.world->end() : EndReason::running);
    }
}

void Simulator::reset(const std::uint64_t* seeds, const bool* which, const StepBuffers& out) {
    const auto lock = exclusive();
    for_each([&](int env, int worker) {
        if (!which[env]) return;
        slots_[env].world->reset(seeds[env]);
        slots_[env].started = true;
        if (out.results) out.results[env] = TickResult{};
        write(env, worker, out);
    });
}

void Simulator::step(const float* actions, int frames, const bool* which, const StepBuffers& out) {
    const auto lock = exclusive();
    if (frames < 1) throw std::invalid_argument("frames must be at least 1, is " + std::to_string(frames));
    check_running(which);
    check_actions(actions, config_.num_envs, which);
    for_each([&](int env, int worker) {
        if (!which[env]) return;
        World& world = *slots_[env].world;
        TickResult sum;
        for (int frame = 0; frame < frames && sum.end == EndReason::running; ++frame)
            add(sum, world.tick(actions[2 * env], actions[2 * env + 1]));
        if (out.results) out.results[env] = sum;
        write(env, worker, out);
    });
}

void Simulator::observe(const bool* which, const StepBuffers& out) {
    const auto lock = exclusive();
    for (int env = 0; env < config_.num_envs; ++env)
        if (which[env] && !slots_[env].started) throw ResetNeededError(env, EndReason::running);
    for_each([&](int env, int worker) {
        if (!which[env]) return;
        if (out.results) out.results[env] = TickResult{};
        write(env, worker, out);
    });
}

void Simulator::write(int env, int worker, const StepBuffers& out) {
    const World& world = *slots_[env].world;
    if (out.ego) write_ego(world, out.ego + env * ego_columns);
    if (out.actors) write_actors(world, out.actors + env * actor_rows * actor_columns);
    if (out.rgb) render(env, worker, out);
}

void Simulator::render(int env, int worker, const StepBuffers& out) {
    const std::size_t pixels = pixels_of(config_.camera);
    const std::size_t row = static_cast<std::size_t>(env) * pixels;
    std::uint8_t* rgb = out.rgb + 3 * row;
    std::uint8_t* planes = config_.channels_last ? planes_[worker].data() : rgb;
    cameras_[worker].render(slots_[env].world->scene(), {planes, out.class_ids ? out.class_ids + row : nullptr,
                                                         out.instance_ids ? out.instance_ids + row : nullptr});
    if (config_.channels_last) interleave(planes, pixels, rgb);
}

void Simulator::view(int env, const CameraConfig& config, std::uint8_t* rgb) {
    const auto lock = exclusive();
    if (env < 0 || env >= config_.num_envs)
        throw std::invalid_argument("env must be in [0, " + std::to_string(config_.num_envs) + "), is " +
                                    std::to_string(env));
    if (!slots_[env].started) throw ResetNeededError(env, EndReason::running);
    Camera camera(config);
    std::vector<std::uint8_t> planes(3 * pixels_of(config));
    camera.render(slots_[env].world->scene(), {planes.data()});
    interleave(planes.data(), pixels_of(config), rgb);
}

void Simulator::privileged_actions(float* actions) {
    const auto lock = exclusive();
    for_each([&](int env, int) {
        const Slot& slot = slots_[env];
        const bool running = slot.started && slot.world->end() == EndReason::running;
        const Control control = running ? slot.world->privileged_action() : Control{};
        actions[2 * env] = control.steer;
        actions[2 * env + 1] = control.drive;
    });
}

std::vector<std::uint8_t> Simulator::save() const {
    const auto lock = exclusive();
    std::vector<std::uint8_t> bytes;
    append(bytes, state_magic);
    append(bytes, static_cast<std::uint64_t>(config_.num_envs));
    for (const Slot& slot : slots_) {
        const std::vector<std::uint8_t> world = slot.started ? slot.world->save() : std::vector<std::uint8_t>{};
        append(bytes, static_cast<std::uint64_t>(slot.started));
        append(bytes, static_cast<std::uint64_t>(world.size()));
        bytes.insert(bytes.end(), world.begin(), world.end());
    }
    return bytes;
}

void Simulator::restore(const std::uint8_t* bytes, std::size_t size) {
    const auto lock = exclusive();
    Reader reader(bytes, size);
    if (reader.number() != state_magic)
        throw std::invalid_argument("state: not a simulator state, or one of another version");
    const std::uint64_t envs = reader.number();
    if (envs != static_cast<std::uint64_t>(config_.num_envs))
        throw std::invalid_argument("state: holds " + std::to_string(envs) + " environments, this simulator has " +
                                    std::to_string(config_.num_envs));
    std::vector<Slot> restored(slots_.size());
    for (Slot& slot : restored) {
        slot.world = std::make_unique<World>(config_.scenario);
        slot.started = reader.number() != 0;
        const std::size_t world_size = static_cast<std::size_t>(reader.number());
        const std::uint8_t* world = reader.take(world_size);
        if (slot.started) slot.world->restore(world, world_size);
    }
    if (reader.left() != 0)
        throw std::invalid_argument("state: " + std::to_string(reader.left()) + " bytes too long");
    slots_ = std::move(restored);
}

}  // namespace semore::driving
