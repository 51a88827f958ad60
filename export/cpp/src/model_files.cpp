#include "model_files.h"

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <set>
#include <stdexcept>
#include <string_view>
#include <utility>
#include <vector>

#include "files.h"
#include "text.h"

namespace hwnas::runtime {
namespace {

constexpr uint64_t kMaxGraphBytes = (uint64_t{1} << 31) - 1;

enum Kind { kModel, kTraining, kGraph, kFunction, kNode, kAttribute, kSparseTensor, kTensor };

struct Child {
  Kind of;
  uint64_t field;
  Kind kind;
};

// Where tensors stand in a model: numbers of fields of onnx/onnx.proto.
constexpr Child kChildren[] = {
    {kModel, 7, kGraph},
    {kModel, 20, kTraining},
    {kModel, 25, kFunction},
    {kTraining, 1, kGraph},
    {kTraining, 2, kGraph},
    {kGraph, 1, kNode},
    {kGraph, 5, kTensor},
    {kGraph, 15, kSparseTensor},
    {kFunction, 7, kNode},
    {kFunction, 11, kAttribute},
    {kNode, 5, kAttribute},
    {kAttribute, 5, kTensor},
    {kAttribute, 6, kGraph},
    {kAttribute, 10, kTensor},
    {kAttribute, 11, kGraph},
    {kAttribute, 22, kSparseTensor},
    {kAttribute, 23, kSparseTensor},
    {kSparseTensor, 1, kTensor},
    {kSparseTensor, 2, kTensor},
};
constexpr uint64_t kName = 8, kExternal = 13, kLocation = 14, kIsExternal = 1;

struct Field {
  uint64_t number = 0, value = 0;
  std::string_view content;
  bool is_number = false;
};

// Reads the fields of a message of protocol buffers; std::invalid_argument if it is none.
class Fields {
 public:
  explicit Fields(std::string_view data) : data_(data) {}

  bool next(Field& field) {
    if (at_ >= data_.size()) return false;
    const uint64_t key = varint();
    field = {key >> 3, 0, {}, false};
    uint64_t size = 0;
    switch (key & 7) {
      case 0:
        field.value = varint();
        field.is_number = true;
        return true;
      case 1: size = 8; break;
      case 2: size = varint(); break;
      case 5: size = 4; break;
      default: throw std::invalid_argument("unknown kind of field " + std::to_string(key & 7));
    }
    if (size > data_.size() - at_) throw std::invalid_argument("it ends in the middle of a field");
    field.content = data_.substr(at_, size);
    at_ += size;
    return true;
  }

 private:
  uint64_t varint() {
    uint64_t value = 0;
    for (int shift = 0; shift <= 63; shift += 7) {
      if (at_ >= data_.size()) throw std::invalid_argument("index out of bounds on dimension 1");
      const auto byte = static_cast<unsigned char>(data_[at_++]);
      value |= static_cast<uint64_t>(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    throw std::invalid_argument("a number is longer than ten bytes");
  }

  std::string_view data_;
  size_t at_ = 0;
};

std::string_view message_of(const Field& field) {
  if (field.is_number) throw std::invalid_argument("a number stands where a message must be");
  return field.content;
}

// Where a tensor says that its values lie: its name and location; false if it holds them itself.
bool external_of(std::string_view tensor, std::string& name, std::string& location) {
  bool is_external = false;
  Field field;
  for (Fields fields(tensor); fields.next(field);) {
    if (field.number == kName) name = message_of(field);
    if (field.number == kLocation && field.is_number) is_external = field.value == kIsExternal;
    if (field.number != kExternal) continue;
    std::string key, value;
    Field part;
    for (Fields entry(message_of(field)); entry.next(part);) {
      if (part.number == 1) key = message_of(part);
      if (part.number == 2) value = message_of(part);
    }
    if (key == "location") location = value;
  }
  return is_external;
}

// A relative path without `.` and `..`; empty if it leads elsewhere.
std::string plain_location(const std::string& location) {
  if (location.empty() || !is_printable(location) || location.find('\\') != std::string::npos) return "";
  const std::string normal = std::filesystem::path(location).lexically_normal().generic_string();
  const bool is_inside = normal != "." && normal != ".." && normal[0] != '/' && normal.substr(0, 3) != "../";
  return is_inside ? normal : "";
}

std::set<std::string> locations_of(std::string_view model, const std::string& graph) {
  std::set<std::string> locations;
  std::vector<std::pair<Kind, std::string_view>> left = {{kModel, model}};
  while (!left.empty()) {
    const auto [kind, message] = left.back();
    left.pop_back();
    if (kind == kTensor) {
      std::string name, location;
      if (!external_of(message, name, location)) continue;
      const std::string plain = plain_location(location);
      if (plain.empty()) {
        throw std::runtime_error("The tensor " + repr(name) + " of " + repr(graph) +
                                 " keeps its values in " + repr(beginning(location, 200)) +
                                 ", but external data must lie beside the model or below it, named by a relative "
                                 "path with '/'. Save the model with its weights in one directory.");
      }
      locations.insert(plain);
      continue;
    }
    Field field;
    for (Fields fields(message); fields.next(field);) {
      for (const Child& child : kChildren) {
        if (child.of == kind && child.field == field.number) left.emplace_back(child.kind, message_of(field));
      }
    }
  }
  return locations;
}

}  // namespace

std::string external_data_problem(const std::string& directory, const std::string& name,
                                  const std::function<bool(const std::string&)>& is_listed) {
  const std::string graph = std::filesystem::absolute(directory + "/" + name).string();
  const std::string broken = "is not a whole model: ";
  std::string content;
  try {
    content = read_plain_file(graph, kMaxGraphBytes);
  } catch (const SystemError& error) {
    return broken + "The model must be a readable file, but " + repr(graph) +
           " cannot be read: " + error.reason + ".";
  }
  if (content.empty()) {
    return broken + "The model " + repr(graph) +
           " is empty: the file has 0 bytes. Save it again.";
  }
  // Whoever has external data writes this word; all others are spared the walk through the graph.
  if (content.find("location") == std::string::npos) return "";
  try {
    const std::string beside = name.find('/') == std::string::npos ? "" : name.substr(0, name.rfind('/') + 1);
    for (const std::string& location : locations_of(content, graph)) {
      if (!is_listed(beside + location)) {
        return "keeps weights in " + repr(location) + ", which the manifest does not list";
      }
    }
  } catch (const std::invalid_argument& error) {
    return broken + repr(graph) + " is refused: it is no whole ONNX file (" + error.what() +
           "). Export it again.";
  } catch (const std::runtime_error& error) {
    return broken + error.what();
  }
  return "";
}

}  // namespace hwnas::runtime
