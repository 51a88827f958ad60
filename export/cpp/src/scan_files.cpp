#include <algorithm>
#include <array>
#include <cctype>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <limits>
#include <optional>
#include <set>
#include <string_view>

#include "columns.h"
#include "coordinates.h"
#include "files.h"
#include "hwnas_runtime/runtime.hpp"
#include "json.h"
#include "runner_parts.h"
#include "text.h"

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "Numbers are read from files as they lie in memory, which needs a little-endian processor."
#endif

namespace hwnas::runtime {
namespace {

constexpr uint64_t kMaxBytes = uint64_t{1} << 32;
constexpr const char* kFields[] = {"x", "y", "z", "intensity", "ring", "label", "time"};
constexpr const char* kTimes[] = {"time", "t", "timestamp"};
constexpr const char* kRequired[] = {"x", "y", "z", "intensity"};

[[noreturn]] void refuse(const std::string& message) { throw Error(ErrorKind::kData, message); }

// A type of numbers: f, i or u, and its size.
struct NumberType {
  char kind = 'f';
  size_t bytes = 4;
  bool is_big_endian = false;

  std::string name() const {
    const char* word = kind == 'f' ? "float" : kind == 'i' ? "int" : "uint";
    return word + std::to_string(8 * bytes);
  }
  // Whether float32 may round its values.
  bool is_wide() const { return bytes == 8 || (kind != 'f' && bytes == 4); }
};

struct Column {
  std::string name;
  NumberType type;
  size_t offset = 0;
};

// A type as numpy writes it: float32, f4, <f4, uint8.
std::optional<NumberType> number_type(const Json& value) {
  if (!value.is_string()) return std::nullopt;
  std::string text = value;
  NumberType type;
  if (!text.empty() && is_one_of(text[0], "<>=|")) {
    type.is_big_endian = text[0] == '>';
    text.erase(0, 1);
  }
  static constexpr std::pair<const char*, char> kWords[] = {{"float", 'f'}, {"uint", 'u'}, {"int", 'i'}};
  std::string digits;
  bool is_known = false;
  for (const auto& [word, kind] : kWords) {
    if (is_known || text.rfind(word, 0) != 0) continue;
    is_known = true;
    type.kind = kind;
    digits = text.substr(std::strlen(word));
    if (digits != "8" && digits != "16" && digits != "32" && digits != "64") return std::nullopt;
    type.bytes = static_cast<size_t>(std::stoi(digits)) / 8;
  }
  if (!is_known) {
    if (text.size() != 2 || !is_one_of(text[0], "fiu") || !is_one_of(text[1], "1248")) return std::nullopt;
    type.kind = text[0];
    type.bytes = static_cast<size_t>(text[1] - '0');
  }
  if (type.kind == 'f' && type.bytes < 4) return std::nullopt;  // no half precision here
  return type;
}

Column column_of(const Json& stated, const Json& usual_type) {
  const bool has_type = stated.is_object() && stated.size() == 1;
  const Json type = has_type ? *stated.begin() : usual_type;
  std::string name = has_type ? stated.begin().key() : stated.is_string() ? stated.get<std::string>() : "";
  const auto is = [&](const char* word) { return name == word; };
  if (std::any_of(std::begin(kTimes), std::end(kTimes), is)) name = "time";
  if (name != "_" && std::none_of(std::begin(kFields), std::end(kFields), is)) {
    refuse("format_options.columns holds " + repr(stated) +
           "; expected ['x', 'y', 'z', 'intensity', 'ring', 'label', 'time'], '_' or {name: dtype}.");
  }
  const std::optional<NumberType> parsed = number_type(type);
  if (!parsed) {
    refuse("format_options: " + repr(type) + " is not a number type; write for instance float32.");
  }
  return {name, *parsed, 0};
}

// Options of the format `bin`, as in dataset.yaml.
struct RecordOptions {
  std::vector<Column> columns;
  size_t bytes = 0;
  bool are_checked = true;

  explicit RecordOptions(const Json& options) {
    for (const auto& item : options.items()) {
      if (item.key() != "columns" && item.key() != "dtype" && item.key() != "check_columns") {
        refuse("Unknown key " + repr(item.key()) +
               " in format_options of a bin file; known are ['columns', 'dtype', 'check_columns'].");
      }
    }
    const Json* check = find(options, "check_columns");
    if (check && !check->is_boolean()) {
      refuse("format_options.check_columns is " + repr(*check) + "; expected true or false.");
    }
    are_checked = !check || check->get<bool>();
    const Json usual = {"x", "y", "z", "intensity"};
    const Json *stated = find(options, "columns"), *type = find(options, "dtype");
    const Json& names = stated ? *stated : usual;
    if (!names.is_array() || names.empty()) {
      refuse("format_options.columns is " + repr(names) + "; expected a list such as [x, y, z, intensity].");
    }
    for (const Json& name : names) add(column_of(name, type ? *type : Json("<f4")));
    refuse_repeated();
  }

  const Column* find_column(const char* name) const {
    const auto found = std::find_if(columns.begin(), columns.end(), [=](const Column& c) { return c.name == name; });
    return found == columns.end() ? nullptr : &*found;
  }

  bool are_all_float32() const {
    return std::all_of(columns.begin(), columns.end(), [](const Column& column) {
      return column.type.kind == 'f' && column.type.bytes == 4 && !column.type.is_big_endian;
    });
  }

  std::string in_words() const {
    std::vector<std::string> parts;
    for (const Column& column : columns) parts.push_back(column.name + " " + column.type.name());
    return joined(parts, ", ");
  }

  std::string names() const {
    std::vector<std::string> parts;
    for (const Column& column : columns) parts.push_back(repr(column.name));
    return "[" + joined(parts, ", ") + "]";
  }

 private:
  void add(Column column) {
    if (column.name == "_") column.name += std::to_string(columns.size());
    column.offset = bytes;
    bytes += column.type.bytes;
    columns.push_back(std::move(column));
  }

  void refuse_repeated() const {
    std::set<std::string_view> seen;
    for (const Column& column : columns) {
      if (!seen.insert(column.name).second) refuse("format_options.columns names a column twice: " + names() + ".");
    }
  }
};

double number_at(const char* record, const Column& column) {
  std::array<char, 8> reversed{};
  const char* first = record + column.offset;
  if (column.type.is_big_endian) {
    std::reverse_copy(first, first + column.type.bytes, reversed.begin());
    first = reversed.data();
  }
  const auto as = [&](auto value) {
    std::memcpy(&value, first, sizeof(value));
    return static_cast<double>(value);
  };
  switch (column.type.kind) {
    case 'f': return column.type.bytes == 4 ? as(float{}) : as(double{});
    case 'i':
      switch (column.type.bytes) {
        case 1: return as(int8_t{});
        case 2: return as(int16_t{});
        case 4: return as(int32_t{});
        default: return as(int64_t{});
      }
    default:
      switch (column.type.bytes) {
        case 1: return as(uint8_t{});
        case 2: return as(uint16_t{});
        case 4: return as(uint32_t{});
        default: return as(uint64_t{});
      }
  }
}

void check_content(const std::string& content, const RecordOptions& options, const std::string& path) {
  if (content.rfind("# .PCD", 0) == 0 || content.rfind("VERSION ", 0) == 0) {
    refuse(path + " is a PCD file, not one of records; name it .pcd, or state 'format: pcd'.");
  }
  if (content.size() % options.bytes) {
    const int likely = likely_columns(content, 0);
    const std::string number = std::to_string(likely);
    refuse(path + " has " + std::to_string(content.size()) + " bytes, which is not a multiple of its record of " +
           std::to_string(options.bytes) + " bytes (" + options.in_words() +
           "); the file is cut off, or 'columns' and 'dtype' do not describe it." +
           (likely ? " Its values look like " + number + " float32 for each point: are there " + number + "?" : ""));
  }
  for (const char* field : kRequired) {
    if (options.find_column(field)) continue;
    refuse(path + " has no field for '" + field + "' (looked for '" + field + "'); it has " + options.names() +
           ". Name the field that holds it in format_options.");
  }
  if (!options.are_checked || !options.are_all_float32()) return;
  if (looks_like_float64(content)) {
    refuse(path +
           " is read as float32, but its values look like float64: state 'dtype: float64' in format_options. "
           "`check_columns: false` reads the file as stated.");
  }
  const int likely = likely_columns(content, static_cast<int>(options.columns.size()));
  if (!likely) return;
  const std::string number = std::to_string(likely);
  refuse(path + " is read as " + std::to_string(options.columns.size()) +
         " numbers for each point, but its values look like " + number + ": are there " + number +
         "? Name them all: in format_options.columns of dataset.yaml, such as [x, y, z, intensity, ring], or for "
         "`hwnas infer --columns x,y,z,intensity,ring`; `_` skips one. `check_columns: false` in "
         "format_options reads the file as stated.");
}

// A whole number of a column; what stands beside points that are no measurements may be anything.
int64_t whole_number(double value, int64_t least, int64_t most, bool is_finite, const char* what, size_t point,
                     const std::string& path) {
  if (value == std::rint(value) && value >= static_cast<double>(least) && value <= static_cast<double>(most)) {
    return static_cast<int64_t>(value);
  }
  if (!is_finite) return 0;
  refuse(path + ": the " + what + " of point " + std::to_string(point) + " is " +
         (std::isnan(value) ? "nan" : format("%g", value)) + "; expected whole numbers from " + std::to_string(least) +
         " to " + std::to_string(most) + ". Are the columns or fields named rightly?");
}

}  // namespace

StoredScan ScanFiles::read(const std::string& given) const {
  const Deployment& deployment = runner_->parts_->deployment;
  const std::string path = plain_path(given);
  const size_t dot = path.rfind('.');
  std::string ending = dot == std::string::npos || path.find('/', dot) != std::string::npos ? "" : path.substr(dot);
  std::transform(ending.begin(), ending.end(), ending.begin(), [](unsigned char c) { return std::tolower(c); });
  if (ending != ".bin")
    refuse(path + " must end in .bin to be read as a scan here; Python reads .npy and .pcd, too.");
  const RecordOptions options(deployment.scan_format == "bin" ? parse_json(deployment.scan_options) : Json::object());
  std::string content;
  try {
    content = read_plain_file(path, kMaxBytes);
  } catch (const SystemError& error) {
    if (error.number == ENOENT) refuse("There is no scan file " + path + ".");
    refuse("The scan " + path + " cannot be read: " + error.reason + ".");
  }
  check_content(content, options, path);
  const size_t count = content.size() / options.bytes;
  if (!count) refuse(path + " holds no point.");
  std::array<const Column*, 3> axes = {options.find_column("x"), options.find_column("y"), options.find_column("z")};
  const bool is_wide = std::any_of(axes.begin(), axes.end(), [](const Column* axis) { return axis->type.is_wide(); });
  const Column *intensity = options.find_column("intensity"), *ring = options.find_column("ring"),
               *label = options.find_column("label"), *time = options.find_column("time");
  StoredScan scan;
  std::vector<bool> are_finite;
  scan.points.reserve(3 * count);
  for (size_t i = 0; i < count; ++i) {
    const char* record = content.data() + i * options.bytes;
    std::array<double, 3> point{};
    bool is_finite = true;
    for (size_t axis = 0; axis < 3; ++axis) {
      point[axis] = number_at(record, *axes[axis]);
      is_finite = is_finite && std::isfinite(point[axis]);
    }
    const std::array<float, 3> turned = in_sensor_frame(point, is_wide, deployment.coordinates);
    scan.points.insert(scan.points.end(), turned.begin(), turned.end());
    scan.intensity.push_back(static_cast<float>(number_at(record, *intensity)));
    if (ring) {
      scan.ring.push_back(static_cast<int32_t>(
          whole_number(number_at(record, *ring), 0, std::numeric_limits<int32_t>::max(), is_finite, "ring", i, path)));
    }
    if (time) scan.time.push_back(number_at(record, *time));
    if (label) are_finite.push_back(is_finite);
  }
  for (size_t i = 0; label && i < count; ++i) {  // after all rings, so that the same one is named first
    const double value = number_at(content.data() + i * options.bytes, *label);
    whole_number(value, 0, std::numeric_limits<uint32_t>::max(), are_finite[i], "label", i, path);
  }
  return scan;
}

}  // namespace hwnas::runtime
