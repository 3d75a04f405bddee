// ScenarioConfig to and from a Python dict of field names. Each struct is taken apart whole, so a field added to
// scenario.hpp and forgotten here does not compile.
#pragma once

#include "driving/scenario.hpp"

#include <pybind11/pybind11.h>

#include <set>
#include <string>
#include <utility>

namespace semore {

namespace scenario_fields {

namespace py = pybind11;
using namespace driving;

template <class Enum>
struct Name {
    Enum value;
    const char* name;
};
constexpr Name<ScenarioKind> kinds[] = {
    {ScenarioKind::jaywalk, "jaywalk"}, {ScenarioKind::highbeam, "highbeam"}, {ScenarioKind::highway, "highway"}};
constexpr Name<RewardKind> rewards[] = {{RewardKind::dmr, "dmr"}, {RewardKind::zhang, "zhang"}};
constexpr Name<Weather> weathers[] = {{Weather::day, "day"},   {Weather::dusk, "dusk"}, {Weather::midnight, "midnight"},
                                      {Weather::rain, "rain"}, {Weather::fog, "fog"}};

#define SEMORE_VISIT(field) visit(#field, field)

template <class Road, class Visit>
void visit_road(Road& road, Visit&& visit) {
    auto& [lanes_forward, lanes_oncoming, lane_width_m, median_width_m, shoulder_width_m, pavement_width_m, fence_y_m,
           town] = road;
    SEMORE_VISIT(lanes_forward);
    SEMORE_VISIT(lanes_oncoming);
    SEMORE_VISIT(lane_width_m);
    SEMORE_VISIT(median_width_m);
    SEMORE_VISIT(shoulder_width_m);
    SEMORE_VISIT(pavement_width_m);
    SEMORE_VISIT(fence_y_m);
    SEMORE_VISIT(town);
}

template <class Scenario, class Visit>
void visit_scenario(Scenario& scenario, Visit&& visit) {
    auto& [kind, road, weather, street_lights, actors_drawn, dt_s, max_episode_frames, warmup_frames,
           speed_limit_mps, ego_start_min_m, ego_start_max_m, walkers_per_side, first_group_m, group_length_m,
           group_spacing_m, walker_speed_min_mps, walker_speed_max_mps, crossing_probability,
           crossing_interval_frames, cyclists, cyclist_start_min_m, cyclist_start_max_m, cyclist_speed_min_mps,
           cyclist_speed_max_mps, cyclist_edge_min_m, cyclist_edge_max_m, cyclist_return_min_m,
           cyclist_return_max_m, cyclist_swerve_probability, oncoming_vehicles, oncoming_start_min_m,
           oncoming_start_max_m, oncoming_speed_min_mps, oncoming_speed_max_mps, oncoming_lean_max_m,
           same_direction_vehicles, same_direction_start_min_m, same_direction_start_max_m,
           same_direction_speed_min_mps, same_direction_speed_max_mps, high_beam_probability,
           struck_person_mass_kg, struck_cyclist_mass_kg, struck_vehicle_mass_kg, walker_mass_kg,
           restitution_vehicle, restitution_soft, contact_impulse_cap_ns, carried_friction,
           carried_braking_mps2, shed_speed_drop_mps,
           shed_speed_mps, reward, collision_frames_to_end, stuck_check_frames, stuck_speed_mps] = scenario;
    SEMORE_VISIT(kind);
    SEMORE_VISIT(road);
    SEMORE_VISIT(weather);
    SEMORE_VISIT(street_lights);
    SEMORE_VISIT(actors_drawn);
    SEMORE_VISIT(dt_s);
    SEMORE_VISIT(max_episode_frames);
    SEMORE_VISIT(warmup_frames);
    SEMORE_VISIT(speed_limit_mps);
    SEMORE_VISIT(ego_start_min_m);
    SEMORE_VISIT(ego_start_max_m);
    SEMORE_VISIT(walkers_per_side);
    SEMORE_VISIT(first_group_m);
    SEMORE_VISIT(group_length_m);
    SEMORE_VISIT(group_spacing_m);
    SEMORE_VISIT(walker_speed_min_mps);
    SEMORE_VISIT(walker_speed_max_mps);
    SEMORE_VISIT(crossing_probability);
    SEMORE_VISIT(crossing_interval_frames);
    SEMORE_VISIT(cyclists);
    SEMORE_VISIT(cyclist_start_min_m);
    SEMORE_VISIT(cyclist_start_max_m);
    SEMORE_VISIT(cyclist_speed_min_mps);
    SEMORE_VISIT(cyclist_speed_max_mps);
    SEMORE_VISIT(cyclist_edge_min_m);
    SEMORE_VISIT(cyclist_edge_max_m);
    SEMORE_VISIT(cyclist_return_min_m);
    SEMORE_VISIT(cyclist_return_max_m);
    SEMORE_VISIT(cyclist_swerve_probability);
    SEMORE_VISIT(oncoming_vehicles);
    SEMORE_VISIT(oncoming_start_min_m);
    SEMORE_VISIT(oncoming_start_max_m);
    SEMORE_VISIT(oncoming_speed_min_mps);
    SEMORE_VISIT(oncoming_speed_max_mps);
    SEMORE_VISIT(oncoming_lean_max_m);
    SEMORE_VISIT(same_direction_vehicles);
    SEMORE_VISIT(same_direction_start_min_m);
    SEMORE_VISIT(same_direction_start_max_m);
    SEMORE_VISIT(same_direction_speed_min_mps);
    SEMORE_VISIT(same_direction_speed_max_mps);
    SEMORE_VISIT(high_beam_probability);
    SEMORE_VISIT(struck_person_mass_kg);
    SEMORE_VISIT(struck_cyclist_mass_kg);
    SEMORE_VISIT(struck_vehicle_mass_kg);
    SEMORE_VISIT(walker_mass_kg);
    SEMORE_VISIT(restitution_vehicle);
    SEMORE_VISIT(restitution_soft);
    SEMORE_VISIT(contact_impulse_cap_ns);
    SEMORE_VISIT(carried_friction);
    SEMORE_VISIT(carried_braking_mps2);
    SEMORE_VISIT(shed_speed_drop_mps);
    SEMORE_VISIT(shed_speed_mps);
    SEMORE_VISIT(reward);
    SEMORE_VISIT(collision_frames_to_end);
    SEMORE_VISIT(stuck_check_frames);
    SEMORE_VISIT(stuck_speed_mps);
}

#undef SEMORE_VISIT

template <class Enum, std::size_t size>
Enum enum_from(const py::handle& value, const std::string& name, const Name<Enum> (&table)[size]) {
    std::string allowed;
    const std::string given = py::isinstance<py::str>(value) ? value.cast<std::string>() : "";
    for (const Name<Enum>& entry : table) {
        if (given == entry.name) return entry.value;
        allowed += (allowed.empty() ? "" : ", ") + std::string(entry.name);
    }
    throw py::value_error(name + " must be one of " + allowed + "; is " + py::repr(value).cast<std::string>());
}

template <class Enum, std::size_t size>
const char* name_in(Enum value, const Name<Enum> (&table)[size]) {
    for (const Name<Enum>& entry : table)
        if (value == entry.value) return entry.name;
    throw py::value_error("an enum value has no name in scenario_fields.hpp");
}

inline py::type_error wrong_type(const std::string& name, const char* wanted, const py::handle& value) {
    return py::type_error(name + " must be " + wanted + ", is " + py::repr(value).cast<std::string>());
}

inline bool is_int(const py::handle& value) {
    return py::isinstance<py::int_>(value) && !py::isinstance<py::bool_>(value);
}

// Fills a struct through its visitor from the dict's items, and refuses missing and unknown names.
class FromDict {
 public:
    FromDict(py::dict values, std::string prefix) : values_(std::move(values)), prefix_(std::move(prefix)) {}

    template <class T>
    void operator()(const char* field, T& out) {
        const std::string name = prefix_ + field;
        if (!values_.contains(field)) throw py::value_error(name + " is missing");
        seen_.insert(field);
        set(values_[field], name, out);
    }

    void refuse_unknown() const {
        for (const auto& item : values_)
            if (!seen_.count(py::str(item.first).cast<std::string>()))
                throw py::value_error(prefix_ + py::str(item.first).cast<std::string>() + " is not a scenario field");
    }

 private:
    static void set(const py::handle& value, const std::string& name, float& out) {
        if (!py::isinstance<py::float_>(value) && !is_int(value)) throw wrong_type(name, "a float", value);
        out = value.cast<float>();
    }
    static void set(const py::handle& value, const std::string& name, int& out) {
        if (!is_int(value)) throw wrong_type(name, "an int", value);
        out = value.cast<int>();
    }
    static void set(const py::handle& value, const std::string& name, bool& out) {
        if (!py::isinstance<py::bool_>(value)) throw wrong_type(name, "a bool", value);
        out = value.cast<bool>();
    }
    static void set(const py::handle& value, const std::string& name, ScenarioKind& out) {
        out = enum_from(value, name, kinds);
    }
    static void set(const py::handle& value, const std::string& name, RewardKind& out) {
        out = enum_from(value, name, rewards);
    }
    static void set(const py::handle& value, const std::string& name, Weather& out) {
        out = enum_from(value, name, weathers);
    }
    static void set(const py::handle& value, const std::string& name, RoadView& out) {
        if (!py::isinstance<py::dict>(value)) throw wrong_type(name, "a dict", value);
        FromDict fields(py::reinterpret_borrow<py::dict>(value), name + ".");
        visit_road(out, fields);
        fields.refuse_unknown();
    }

    py::dict values_;
    std::string prefix_;
    std::set<std::string> seen_;
};

class ToDict {
 public:
    template <class T>
    void operator()(const char* field, const T& value) {
        values[field] = get(value);
    }

    py::dict values;

 private:
    template <class T>
    static py::object get(const T& value) {
        return py::cast(value);
    }
    static py::object get(const ScenarioKind& value) { return py::str(name_in(value, kinds)); }
    static py::object get(const RewardKind& value) { return py::str(name_in(value, rewards)); }
    static py::object get(const Weather& value) { return py::str(name_in(value, weathers)); }
    static py::object get(const RoadView& value) {
        ToDict fields;
        visit_road(value, fields);
        return fields.values;
    }
};

}  // namespace scenario_fields

inline driving::ScenarioConfig scenario_from_dict(const pybind11::dict& values) {
    driving::ScenarioConfig scenario;
    scenario_fields::FromDict fields(values, "scenario.");
    scenario_fields::visit_scenario(scenario, fields);
    fields.refuse_unknown();
    return scenario;
}

inline driving::RoadView road_from_dict(const pybind11::dict& values) {
    driving::RoadView road;
    scenario_fields::FromDict fields(values, "road.");
    scenario_fields::visit_road(road, fields);
    fields.refuse_unknown();
    return road;
}

inline pybind11::dict scenario_to_dict(const driving::ScenarioConfig& scenario) {
    scenario_fields::ToDict fields;
    scenario_fields::visit_scenario(scenario, fields);
    return fields.values;
}

}  // namespace semore
